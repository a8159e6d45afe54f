//! Messages into and out of `google.protobuf.Any`, with the type checked on the way out.

use prost::{Message, Name};

use crate::{canonical, google::Any};

/// Why an `Any` does not hold the wanted message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnpackError {
    /// It names another type.
    #[error("expected {expected}, got {}", shown(.found))]
    WrongType {
        /// The full name of the wanted message.
        expected: String,
        /// The type URL that came.
        found: String,
    },
    /// The bytes are no such message.
    #[error("the bytes are no valid {expected}: {source}")]
    Malformed {
        /// The full name of the wanted message.
        expected: String,
        /// What the decoder says.
        source: prost::DecodeError,
    },
}

fn shown(type_url: &str) -> &str {
    if type_url.is_empty() { "no type URL" } else { type_url }
}

/// Puts a message into an `Any` under its own type URL. Equal messages give equal bytes.
pub fn pack<M: Message + Name + Default + PartialEq>(message: &M) -> Any {
    Any { type_url: M::type_url(), value: canonical::encode(message) }
}

/// Takes a message out of an `Any`. Only what follows the last `/` of the type URL counts, as protobuf says.
pub fn unpack<M: Message + Name + Default>(any: &Any) -> Result<M, UnpackError> {
    let expected = M::full_name();
    if any.type_url.rsplit('/').next() != Some(expected.as_str()) {
        return Err(UnpackError::WrongType { expected, found: any.type_url.clone() });
    }
    M::decode(any.value.as_slice()).map_err(|source| UnpackError::Malformed { expected, source })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{cluster::Cluster, listener::Listener};

    fn cluster() -> Cluster {
        Cluster { name: "outbound|80||reviews".into(), ..Cluster::default() }
    }

    #[test]
    fn a_message_survives_both_ways() {
        let any = pack(&cluster());
        assert_eq!(any.type_url, "type.googleapis.com/envoy.config.cluster.v3.Cluster");
        assert_eq!(unpack::<Cluster>(&any).unwrap(), cluster());
    }

    #[test]
    fn only_the_last_segment_of_the_type_url_counts() {
        let any = Any { type_url: "example.com/types/envoy.config.cluster.v3.Cluster".into(), ..pack(&cluster()) };
        assert!(unpack::<Cluster>(&any).is_ok());
    }

    #[test]
    fn errors_name_what_was_expected_and_what_came() {
        let wrong = unpack::<Listener>(&pack(&cluster())).unwrap_err().to_string();
        assert!(wrong.contains("expected envoy.config.listener.v3.Listener"), "{wrong}");
        assert!(wrong.contains("envoy.config.cluster.v3.Cluster"), "{wrong}");

        let broken = Any { value: vec![0xff; 7], ..pack(&cluster()) };
        let malformed = unpack::<Cluster>(&broken).unwrap_err().to_string();
        assert!(malformed.contains("no valid envoy.config.cluster.v3.Cluster"), "{malformed}");

        let nothing = unpack::<Cluster>(&Any::default()).unwrap_err().to_string();
        assert!(nothing.contains("no type URL"), "{nothing}");
    }
}
