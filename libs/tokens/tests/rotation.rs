//! A year of key rotation by the hour: whoever keeps our JWKS for a day believes every token.

use std::collections::{HashMap, VecDeque};

use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use tokens::{
    Algorithm, Envelope, Expected, KeySet, Policy, PrivateKey, PublicKeys, Refusal, Stage, Token,
    Tolerance,
    rotation::{Next, next},
    sign, verify,
};

use crate::support::*;

/// Good for as long as keys are made to verify; ours are good for less.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Lasting {}

impl Token for Lasting {
    const TYPE: &'static str = "tutti-lasting+jwt";
    const LONGEST_LIFE: SignedDuration = SignedDuration::from_hours(12);
    const REQUIRED: &'static [&'static str] = &[];
    type Place<'a> = ();

    fn audience(&self) -> std::borrow::Cow<'static, str> {
        "anybody".into()
    }

    fn audience_at((): ()) -> std::borrow::Cow<'static, str> {
        "anybody".into()
    }

    fn check_place(&self, (): ()) -> Result<(), Refusal> {
        Ok(())
    }
}

const POLICY: Policy = Policy {
    use_for: SignedDuration::from_hours(30 * 24),
    longest_life: Lasting::LONGEST_LIFE,
};
const HOUR: SignedDuration = SignedDuration::from_hours(1);
const BOTH: [Algorithm; 2] = [Algorithm::Es256, Algorithm::Rs256];

/// Does what [`next`] says until it says to rest, saving and loading after each step.
fn rotate(keys: &mut KeySet, algorithms: &[Algorithm], now: Timestamp) {
    loop {
        match next(keys, algorithms, &POLICY, now) {
            Next::Rest(until) => {
                assert!(until > now, "a rest until {until} at {now}");
                return;
            }
            Next::Publish(algorithm) => {
                let key = PrivateKey::generate(algorithm).unwrap();
                keys.publish(key, &POLICY, now).unwrap();
            }
            Next::DropRetired => {
                let before = keys.keys().len();
                keys.drop_retired(now);
                assert!(keys.keys().len() < before, "nothing was retired at {now}");
            }
        }
        let saved = tokens::stored::to_json(keys).unwrap();
        *keys = tokens::stored::from_json(saved.expose_secret()).unwrap();
    }
}

#[test]
fn over_a_year_no_good_token_is_refused_and_no_key_signs_that_was_not_published_a_day_before() {
    let mut keys = KeySet::default();
    // One of each hour of the last day, and the hours' tokens until they expire.
    let mut published = VecDeque::<PublicKeys>::new();
    let mut tokens = VecDeque::<(Timestamp, Vec<String>)>::new();
    let mut first_seen = HashMap::<String, Timestamp>::new();
    let mut has_signed = HashMap::<String, u32>::new();
    let begin = *NOW;
    for hour in 0..365 * 24 {
        let now = begin + HOUR * hour;
        // Nobody rotates for some weeks in spring, and from time to time somebody is late. Keys change a
        // minute after the tokens below are signed: a signer whose clock is ahead uses the next one early.
        if !(3_000..3_700).contains(&hour) && hour % 7 != 3 {
            rotate(&mut keys, &BOTH, now - SignedDuration::from_mins(59));
        }
        let jwks = keys.public().to_jwks(now);
        for key in jwks["keys"].as_array().unwrap() {
            let kid = key["kid"].as_str().unwrap().to_owned();
            first_seen.entry(kid).or_insert(now);
        }
        published.push_back(PublicKeys::from_jwks(&jwks.to_string()).unwrap());
        if published.len() > 25 {
            published.pop_front();
        }

        let mut signed = Vec::new();
        for (algorithm, clock) in [
            (Algorithm::Es256, -120),
            (Algorithm::Es256, 0),
            (Algorithm::Es256, 120),
            (Algorithm::Rs256, 0),
        ] {
            let envelope = Envelope {
                now: now + SignedDuration::from_secs(clock),
                life: Lasting::LONGEST_LIFE,
                ..envelope()
            };
            let text = sign(&keys, algorithm, &Lasting {}, &envelope).unwrap();
            let kid = part(&text, 0)["kid"].as_str().unwrap().to_owned();
            let seen = first_seen[&kid];
            // The very first have no day before.
            assert!(
                seen == begin || now.duration_since(seen) >= HOUR * 24,
                "{kid} signs at {now} and was published at {seen}"
            );
            *has_signed.entry(kid).or_default() += 1;
            signed.push(text);
        }
        tokens.push_back((now, signed));
        if tokens.len() > 13 {
            tokens.pop_front();
        }

        // The newest and the oldest tokens, by readers with a JWKS of this hour and of a day ago.
        let readers = [published.back().unwrap(), published.front().unwrap()];
        let (oldest, newest) = (tokens.front().unwrap(), tokens.back().unwrap());
        for (signed_at, texts) in [oldest, newest] {
            // A second before the slowest clock's token expires.
            let last = *signed_at + Lasting::LONGEST_LIFE - SignedDuration::from_secs(121);
            let expected = Expected {
                issuer: ISSUER,
                now: now.min(last),
                tolerance: Tolerance::FOREIGN,
            };
            for (text, keys) in texts
                .iter()
                .flat_map(|text| readers.map(|keys| (text, keys)))
            {
                let read = verify::<Lasting>(text, keys, &expected, ());
                assert!(read.is_ok(), "at {now}, signed at {signed_at}: {read:?}");
            }
        }
    }
    // Nothing of this was seen if keys were not changed: twelve times for each algorithm, less the weeks
    // without.
    assert!(has_signed.len() >= 22, "{}", has_signed.len());
    assert!(keys.keys().len() <= 6, "old keys are kept: {keys:?}");
}

#[test]
fn each_key_goes_through_its_stages_in_order_and_one_of_them_signs() {
    let mut keys = KeySet::default();
    let algorithms = [Algorithm::Es256];
    let mut seen = HashMap::<String, Vec<Stage>>::new();
    for hour in 0..100 * 24 {
        let now = *NOW + HOUR * hour;
        rotate(&mut keys, &algorithms, now);
        let stages = keys.keys().iter().map(|key| key.stage_at(now));
        let currents = stages.filter(|stage| *stage == Stage::Current).count();
        assert_eq!(currents, 1, "at {now}");
        for key in keys.keys() {
            let stages = seen.entry(key.id().to_owned()).or_default();
            if stages.last() != Some(&key.stage_at(now)) {
                stages.push(key.stage_at(now));
            }
        }
    }
    let mut lives: Vec<_> = seen.into_values().collect();
    lives.sort_by_key(Vec::len);
    use Stage::{Current, Next, Previous};
    // The first was never next; the last is in use.
    let expected = [
        vec![Current, Previous],
        vec![Next, Current],
        vec![Next, Current, Previous],
        vec![Next, Current, Previous],
    ];
    lives[..2].sort_by_key(|life| life[0] == Next);
    assert_eq!(lives, expected);
}

#[test]
fn a_next_key_is_published_25_hours_before_it_signs_however_late_that_is() {
    let mut keys = KeySet::default();
    let algorithms = [Algorithm::Es256];
    let begin = *NOW;
    rotate(&mut keys, &algorithms, begin);
    let due = begin + POLICY.use_for - HOUR * 25;
    assert_eq!(next(&keys, &algorithms, &POLICY, begin), Next::Rest(due));
    let publish = Next::Publish(Algorithm::Es256);
    assert_eq!(next(&keys, &algorithms, &POLICY, due), publish);

    // In time: it begins when the other's time is over.
    let mut in_time = keys.clone();
    rotate(&mut in_time, &algorithms, due);
    assert_eq!(in_time.keys()[1].signs_from(), begin + POLICY.use_for);
    // A year late: it begins 25 hours later all the same.
    let late = begin + HOUR * 24 * 365;
    rotate(&mut keys, &algorithms, late);
    let (old, new) = (&keys.keys()[0], &keys.keys()[1]);
    assert_eq!(new.published(), late);
    assert_eq!(new.signs_from(), late + HOUR * 25);
    let ending = old.ending().unwrap();
    assert_eq!(ending.signs_until, new.signs_from());
    let afterwards = HOUR * 12 + SignedDuration::from_mins(10);
    assert_eq!(ending.verifies_until, new.signs_from() + afterwards);
    let drop = Next::DropRetired;
    assert_eq!(
        next(&keys, &algorithms, &POLICY, ending.verifies_until),
        drop
    );
}
