//! What is said of each object, and of the whole.

use crate::fixture::{Fixture, SHOP};
use pilot::status::Condition;

#[test]
fn every_object_has_a_status_with_its_place() {
    let fixture = Fixture::new(&[("shop.yaml", SHOP)]);
    let statuses = fixture.pilot.status();
    let listed: Vec<_> = statuses.iter().map(|status| (status.object.to_string(), status.place.to_string())).collect();
    assert_eq!(
        listed,
        [
            ("Service shop/catalog".to_owned(), "shop.yaml:1".to_owned()),
            ("Service shop/reviews".to_owned(), "shop.yaml:45".to_owned()),
            ("EndpointSlice shop/catalog-1".to_owned(), "shop.yaml:11".to_owned()),
            ("Pod shop/catalog-v1".to_owned(), "shop.yaml:26".to_owned()),
            ("Pod shop/catalog-v2".to_owned(), "shop.yaml:36".to_owned()),
            ("DestinationRule shop/catalog".to_owned(), "shop.yaml:52".to_owned()),
        ]
    );
    assert!(statuses.iter().all(|status| status.condition == Condition::InForce && status.findings.is_empty()));
}

#[test]
fn the_metrics_count_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("shop.yaml"), SHOP.replace("host: catalog", "host: catlog")).unwrap();
    std::fs::write(dir.path().join("x.yaml"), "}{").unwrap();
    let metrics = record::Metrics::new();
    let options = pilot::PilotOptions {
        source: pilot::SourceOptions::Directory(dir.path().to_owned()),
        mesh: Default::default(),
    };
    let _pilot = pilot::Pilot::start(options, &metrics).unwrap();
    let text = metrics.text();
    for line in ["pilot_config_objects 6", "pilot_config_rejected_objects 1", "pilot_config_file_errors 1"] {
        assert!(text.lines().any(|known| known == line), "no \"{line}\" in\n{text}");
    }
}
