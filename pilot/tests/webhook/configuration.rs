//! `injector.yaml` as it changes under the running webhook.

use crate::fixture::{Server, patched, pod, pod_review};
use pilot::webhook::InjectorFile;
use record::Metrics;
use std::fs;
use std::time::{Duration, Instant};

/// Asks again and again until the sidecar's image is `image`.
async fn until_image(server: &Server, image: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let after = patched(&pod(), &server.review("/inject", &pod_review("shop", &pod())).await);
        if after["spec"]["initContainers"][1]["image"] == image {
            return;
        }
        assert!(Instant::now() < deadline, "the image is still {}", after["spec"]["initContainers"][1]["image"]);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_new_file_is_taken_over_and_a_wrong_one_is_not() {
    let server = Server::start("image: a:1\n").await;
    until_image(&server, "a:1").await;
    fs::write(&server.file, "image: a:2\n").unwrap();
    until_image(&server, "a:2").await;
    assert_eq!(server.metric("meltemi_injector_config_valid"), 1.0);

    fs::write(&server.file, "imag: a:3\n").unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while server.metric("meltemi_injector_config_valid") != 0.0 {
        assert!(Instant::now() < deadline, "the wrong file is not reported");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    until_image(&server, "a:2").await;
    fs::write(&server.file, "image: a:4\n").unwrap();
    until_image(&server, "a:4").await;
    assert_eq!(server.metric("meltemi_injector_config_reloads_total"), 2.0);
}

#[test]
fn without_a_good_file_there_is_no_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("injector.yaml");
    let open = || InjectorFile::open(path.clone(), &Metrics::new()).err().unwrap().to_string();
    assert!(open().contains("is the ConfigMap mounted?"), "{}", open());
    fs::write(&path, "concurrency: many\n").unwrap();
    assert!(open().contains("line 1: concurrency: expected a whole number"), "{}", open());
}
