//! The first message of a TLS handshake, written by hand, for clients that never send a second one.

/// A ClientHello of TLS 1.3 as a sidecar of the mesh would send it, with a key share that costs the server all of its part.
pub fn client_hello() -> Vec<u8> {
    let extensions = [
        // TLS 1.3.
        extension(0x002b, &[2, 3, 4]),
        // X25519.
        extension(0x000a, &[0, 2, 0, 0x1d]),
        extension(0x0033, &[&[0, 36, 0, 0x1d, 0, 32][..], &[9; 32]].concat()),
        // ecdsa_secp256r1_sha256.
        extension(0x000d, &[0, 2, 4, 3]),
        // ALPN.
        extension(0x0010, &[&[0, 6, 5][..], b"istio"].concat()),
    ]
    .concat();
    // Version, random, no session, TLS_AES_128_GCM_SHA256, no compression.
    let head = [&[3, 3][..], &[7; 32], &[0, 0, 2, 0x13, 1, 1, 0]].concat();
    let message = [head, length(extensions.len()).to_vec(), extensions].concat();
    let handshake = [&[1, 0][..], &length(message.len()), &message].concat();
    [&[0x16, 3, 1][..], &length(handshake.len()), &handshake].concat()
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &length(content.len()), content].concat()
}

fn length(length: usize) -> [u8; 2] {
    u16::try_from(length).expect("a short message").to_be_bytes()
}
