//! Who holds a hostname.

use std::collections::{BTreeMap, BTreeSet};

use crds::{Route, condition::Time, route::RouteStatus};
use jiff::{SignedDuration, Timestamp};
use plan::hostname::{Claim, claims};
use proptest::prelude::*;

use crate::support::accepted;

fn route(namespace: &str, name: &str) -> Route {
    let mut route: Route = serde_json::from_value(serde_json::json!({
        "apiVersion": "tutti.dev/v1alpha1",
        "kind": "Route",
        "metadata": { "name": name, "namespace": namespace, "uid": format!("{namespace}/{name}") },
        "spec": { "hostname": "www.acme.example", "backend": { "service": "web", "port": 80 } },
    }))
    .unwrap();
    made_at(&mut route, 0);
    route
}

fn made_at(route: &mut Route, second: i64) {
    let time = Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second);
    route.metadata.creation_timestamp = Some(Time(time));
}

fn later(mut route: Route, second: i64) -> Route {
    made_at(&mut route, second);
    route
}

fn at_path(mut route: Route, path: &str) -> Route {
    path.clone_into(&mut route.spec.path_prefix);
    route
}

fn holding(mut route: Route) -> Route {
    route.status = Some(RouteStatus {
        conditions: vec![accepted("True", "held")],
        ..RouteStatus::default()
    });
    route
}

fn claim(routes: &[&Route], of: &Route) -> Claim {
    let key = (
        of.metadata.namespace.clone().unwrap(),
        of.metadata.name.clone().unwrap(),
    );
    claims(routes)[&key].clone()
}

#[test]
fn the_first_to_ask_holds_it_and_the_second_is_not_told_who() {
    let first = route("acme", "a");
    let second = later(route("evil", "b"), 1);
    for routes in [[&first, &second], [&second, &first]] {
        assert_eq!(claim(&routes, &first), Claim::Held);
        assert_eq!(claim(&routes, &second), Claim::Taken { by: None });
    }
}

#[test]
fn one_that_was_accepted_keeps_it_against_an_older_one() {
    let older = route("evil", "a");
    let accepted = holding(later(route("acme", "b"), 5));
    assert_eq!(claim(&[&older, &accepted], &accepted), Claim::Held);
    assert_eq!(
        claim(&[&older, &accepted], &older),
        Claim::Taken { by: None }
    );
}

#[test]
fn two_paths_of_one_hostname_in_one_namespace_are_both_held() {
    let root = route("acme", "a");
    let blog = at_path(later(route("acme", "b"), 1), "/blog");
    assert_eq!(claim(&[&root, &blog], &root), Claim::Held);
    assert_eq!(claim(&[&root, &blog], &blog), Claim::Held);
}

#[test]
fn another_namespace_gets_no_path_of_a_held_hostname() {
    let root = route("acme", "a");
    let admin = at_path(later(route("evil", "b"), 1), "/admin");
    assert_eq!(claim(&[&root, &admin], &admin), Claim::Taken { by: None });
}

#[test]
fn the_same_path_twice_is_held_by_the_first_whose_name_is_told() {
    let first = route("acme", "a");
    let second = later(route("acme", "b"), 1);
    assert_eq!(
        claim(&[&second, &first], &second),
        Claim::Taken {
            by: Some("a".to_owned())
        }
    );
}

#[test]
fn a_hostname_that_is_given_up_passes_to_the_next() {
    let second = later(route("evil", "b"), 1);
    let third = later(route("late", "c"), 2);
    assert_eq!(claim(&[&third, &second], &second), Claim::Held);
    assert_eq!(claim(&[&third, &second], &third), Claim::Taken { by: None });
}

#[test]
fn different_hostnames_do_not_meet() {
    let one = route("acme", "a");
    let mut other = route("evil", "b");
    other.spec.hostname = "www.other.example".to_owned();
    assert_eq!(claim(&[&one, &other], &one), Claim::Held);
    assert_eq!(claim(&[&one, &other], &other), Claim::Held);
}

/// Something that happens to the Routes of one hostname.
#[derive(Clone, Debug)]
enum Event {
    Arrives {
        namespace: u8,
        path: u8,
        second: i64,
    },
    Goes {
        which: prop::sample::Index,
    },
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        3 => (0..4_u8, 0..3_u8, 0..4_i64)
            .prop_map(|(namespace, path, second)| Event::Arrives { namespace, path, second }),
        1 => any::<prop::sample::Index>().prop_map(|which| Event::Goes { which }),
    ];
    prop::collection::vec(event, 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn one_namespace_holds_a_hostname_and_arrivals_take_it_from_nobody(events in events()) {
        let mut routes: Vec<Route> = Vec::new();
        for (number, event) in events.into_iter().enumerate() {
            match event {
                // Timestamps are whole seconds and clocks differ: an arrival may look older.
                Event::Arrives { namespace, path, second } => routes.push(at_path(
                    later(route(&format!("n{namespace}"), &format!("r{number}")), second),
                    ["/", "/a", "/b"][usize::from(path)],
                )),
                Event::Goes { which } if !routes.is_empty() => {
                    routes.swap_remove(which.index(routes.len()));
                }
                Event::Goes { .. } => {}
            }
            let all: Vec<&Route> = routes.iter().collect();
            let decided: BTreeMap<_, _> = claims(&all);
            prop_assert_eq!(decided.len(), routes.len());
            let holders: BTreeSet<&String> = decided
                .iter()
                .filter(|(_, claim)| **claim == Claim::Held)
                .map(|((namespace, _), _)| namespace)
                .collect();
            prop_assert_eq!(holders.len(), usize::from(!routes.is_empty()));
            for route in &mut routes {
                let key = (
                    route.metadata.namespace.clone().unwrap(),
                    route.metadata.name.clone().unwrap(),
                );
                let holds = decided[&key] == Claim::Held;
                if route.status.is_some() {
                    prop_assert!(holds, "{key:?} lost a hostname that it held");
                }
                // As the operator writes it.
                *route = if holds { holding(route.clone()) } else { Route { status: None, ..route.clone() } };
            }
        }
    }
}
