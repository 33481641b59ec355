//! What was signed is what is read.

use proptest::prelude::*;
use tokens::{
    Algorithm, Envelope, IdToken, Identity, Instance, Pass, Place, Registration, Role, Ticket,
    Token, sign, sign::NotSigned, verify,
};

use crate::support::*;

#[test]
fn each_kind_comes_back_as_it_was_signed_with_both_algorithms() {
    fn there_and_back<T: Token + PartialEq + std::fmt::Debug>(token: &T, place: T::Place<'_>) {
        for algorithm in [Algorithm::Es256, Algorithm::Rs256] {
            let text = sign(&KEYS, algorithm, token, &envelope()).unwrap();
            let back = verify::<T>(&text, &PUBLIC, &expected(*NOW), place).unwrap();
            assert_eq!(back.token, *token);
            assert_eq!(back.id, ID);
            assert_eq!(back.issued_at, *NOW);
            assert_eq!(back.expires_at, *NOW + envelope().life);
            assert_eq!(back.key, key_id(algorithm));
        }
    }
    there_and_back(&ticket(), PLACE);
    there_and_back(&pass(), HOST);
    there_and_back(&identity(), &instance());
    there_and_back(&registration(), ());
}

#[test]
fn a_ticket_reads_as_the_documents_say() {
    let text = signed(&ticket());
    let header = serde_json::json!({
        "alg": "ES256", "kid": key_id(Algorithm::Es256), "typ": "tutti-ticket+jwt",
    });
    assert_eq!(part(&text, 0), header);
    let claims = serde_json::json!({
        "iss": ISSUER, "aud": "tutti-gateway", "jti": ID,
        "iat": 1_793_606_400, "nbf": 1_793_606_400, "exp": 1_793_606_460,
        "host": HOST, "path": PATH, "role": "Power User", "instance": "acme/blog",
        "session": "ses-01jbq3v5k8e7w2m4x6n9p0r1st",
        "person": "usr-01jbq3v5k8e7w2m4x6n9p0r1sv",
        "organization": "org-01jbq3v5k8e7w2m4x6n9p0r1sw",
    });
    assert_eq!(part(&text, 1), claims);
}

#[test]
fn the_audience_of_an_identity_is_its_instance() {
    assert_eq!(part(&signed(&identity()), 1)["aud"], "acme/blog");
}

#[test]
fn nothing_is_signed_that_nobody_would_believe() {
    let signed = |envelope: &Envelope<'_>| sign(&KEYS, Algorithm::Es256, &ticket(), envelope);
    let with_life = |seconds: i64| Envelope {
        life: jiff::SignedDuration::from_secs(seconds),
        ..envelope()
    };
    for seconds in [-1, 0, 61] {
        let refused = signed(&with_life(seconds)).unwrap_err();
        assert!(
            matches!(refused, NotSigned::Life { .. }),
            "{seconds} {refused}"
        );
    }
    assert!(signed(&with_life(60)).is_ok());

    let without_id = Envelope {
        id: "",
        ..envelope()
    };
    assert!(matches!(signed(&without_id), Err(NotSigned::NoId)));

    let before_any_key = Envelope {
        now: *NOW - jiff::SignedDuration::from_secs(1),
        ..envelope()
    };
    let refused = signed(&before_any_key).unwrap_err();
    assert!(matches!(refused, NotSigned::NoKey(Algorithm::Es256)));

    let long = Ticket {
        path: "/".repeat(3_000),
        ..ticket()
    };
    let refused = sign(&KEYS, Algorithm::Es256, &long, &envelope()).unwrap_err();
    assert!(matches!(refused, NotSigned::TooLong { length } if length > 4_000));
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![
        Just(Role::Member),
        Just(Role::PowerUser),
        Just(Role::Admin),
        Just(Role::SuperAdmin)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_text_comes_back_unchanged(
        texts in prop::collection::vec("\\PC{0,24}|.{0,24}", 7), role in role(), staff: bool,
    ) {
        let [host, path, session, person, organization, email, name] =
            <[String; 7]>::try_from(texts).unwrap();
        let instance = instance();
        let ticket = Ticket {
            host: host.clone(), path: path.clone(), session: session.clone(),
            person: person.clone(), organization: organization.clone(), role,
            instance: instance.clone(),
        };
        let place = Place { host: &host, path: &path };
        let back = verify::<Ticket>(&signed(&ticket), &PUBLIC, &expected(*NOW), place).unwrap();
        prop_assert_eq!(back.token, ticket);

        let pass = Pass {
            host: host.clone(), session, person: person.clone(), email: email.clone(),
            name: name.clone(), organization: organization.clone(), role,
            instance: instance.clone(), staff,
        };
        let back = verify::<Pass>(&signed(&pass), &PUBLIC, &expected(*NOW), &host).unwrap();
        prop_assert_eq!(back.token, pass);

        let identity = Identity {
            person, email: email.clone(), name: name.clone(), organization, role,
            instance: instance.clone(), staff,
        };
        let text = signed(&identity);
        let back = verify::<Identity>(&text, &PUBLIC, &expected(*NOW), &instance).unwrap();
        prop_assert_eq!(back.token, identity);

        let registration = Registration { name, email, external_id: path };
        let text = signed(&registration);
        let back = verify::<Registration>(&text, &PUBLIC, &expected(*NOW), ()).unwrap();
        prop_assert_eq!(back.token, registration);
    }
}

#[test]
fn an_id_token_is_for_one_client_and_is_called_as_its_library_expects() {
    let token = IdToken {
        client: "cli-1".into(),
        person: "usr-1".into(),
        session: "ses-1".into(),
        nonce: Some("n".into()),
        auth_time: NOW.as_second(),
        acr: "1".into(),
        amr: vec!["pwd".into()],
        organization: "org-1".into(),
        role: Role::Admin,
        name: None,
        locale: None,
        email: None,
        email_verified: None,
    };
    let text = signed(&token);
    let back = verify::<IdToken>(&text, &PUBLIC, &expected(*NOW), "cli-1").unwrap();
    assert_eq!(back.token, token);
    let refusal = verify::<IdToken>(&text, &PUBLIC, &expected(*NOW), "cli-2").unwrap_err();
    assert_eq!(refusal.reason(), "WrongAudience");
}

#[test]
fn an_instance_is_two_names_and_a_slash() {
    let read = |text: &str| serde_json::from_value::<Instance>(text.into());
    assert_eq!(read("acme/blog").unwrap(), instance());
    for bad in ["", "acme", "acme/", "/blog", "acme/blog/x", "/"] {
        assert!(read(bad).is_err(), "{bad}");
    }
}
