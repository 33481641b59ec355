//! Tries at what somebody proves themselves by: each is counted before it is judged, and what is refused is
//! written down. The rule of one bucket is in `throttle`.

use std::net::{IpAddr, Ipv6Addr};

use jiff::Timestamp;
use sqlx::PgConnection;

use super::{
    store::{self, Bucket},
    throttle::{ACCOUNT, ADDRESS, DEVICE, Refused},
};
use crate::{
    app::App,
    audit::{self, Deed},
    error::Failure,
    secret::{Digest, Token},
    sessions,
    web::Visit,
};

/// The buckets that a try counts in: the browser's own when the account knows it, the account's and the
/// address's otherwise. Nothing differs by whether somebody has the address.
///
/// # Errors
/// When the database does not answer.
pub async fn buckets(
    on: &mut PgConnection,
    visit: &Visit,
    key: &str,
    person: Option<&str>,
    now: Timestamp,
) -> Result<Vec<Bucket>, Failure> {
    if let Some(device) = visit.device.as_ref().map(Token::digest) {
        let since = now - sessions::DEVICE_LIFE;
        if store::is_known(on, person.unwrap_or_default(), &device, since).await? {
            let name = format!("device:{}:{}", person.unwrap_or_default(), device.hex());
            return Ok(vec![Bucket { name, rule: DEVICE }]);
        }
    }
    Ok(vec![account_bucket(key), address_bucket(&visit.address)])
}

/// What strangers to an account share.
#[must_use]
pub fn account_bucket(key: &str) -> Bucket {
    // What somebody typed may be a password in the wrong field: only its digest is kept.
    Bucket {
        name: format!("account:{}", Digest::of(key.as_bytes()).hex()),
        rule: ACCOUNT,
    }
}

/// What one address shares; of IPv6 a customer has a /64.
#[must_use]
pub fn address_bucket(address: &str) -> Bucket {
    let network = match address.parse() {
        Ok(IpAddr::V6(address)) => Ipv6Addr::from(u128::from(address) >> 64 << 64).to_string(),
        _ => address.to_owned(),
    };
    Bucket {
        name: format!("address:{network}"),
        rule: ADDRESS,
    }
}

/// Counts a try. Says in how many seconds there is another one, when there is none now; the first time, the
/// audit is told.
///
/// # Errors
/// When the database does not answer.
pub async fn admit(
    app: &App,
    visit: &Visit,
    buckets: &[Bucket],
    person: Option<&str>,
) -> Result<Option<i64>, Failure> {
    let now = app.now();
    let mut transaction = app.begin().await?;
    let refused = store::charge(&mut transaction, buckets, now).await?;
    let Some(Refused { wait, is_news }) = refused else {
        transaction.commit().await?;
        return Ok(None);
    };
    if is_news {
        let new = audit::New::by(visit.actor(), Deed::SignInThrottled, person);
        audit::store::append(&mut transaction, visit.origin(), new, now).await?;
    }
    transaction.commit().await?;
    app.metrics.tried("throttled");
    Ok(Some(wait.as_secs().max(1)))
}

/// Takes the try back that was right: the buckets that are somebody's own are emptied.
///
/// # Errors
/// When the database does not answer.
pub async fn forgive(on: &mut PgConnection, buckets: &[Bucket]) -> sqlx::Result<()> {
    for bucket in buckets {
        if bucket.rule == ADDRESS {
            store::take_back(on, &bucket.name).await?;
        } else {
            store::forget(on, &bucket.name).await?;
        }
    }
    Ok(())
}

/// Writes down that a try was wrong.
///
/// # Errors
/// When the database does not answer.
pub async fn refuse(
    app: &App,
    visit: &Visit,
    person: Option<&str>,
    reason: &'static str,
) -> Result<(), Failure> {
    let mut transaction = app.begin().await?;
    let details = [("reason", reason)];
    let new = audit::New {
        details: &details,
        ..audit::New::by(visit.actor(), Deed::SignInRefused, person)
    };
    audit::store::append(&mut transaction, visit.origin(), new, app.now()).await?;
    transaction.commit().await?;
    app.metrics.tried("refused");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_ipv6_shares_a_bucket_and_an_address_of_ipv4_has_its_own() {
        let name = |address: &str| address_bucket(address).name;
        assert_eq!(name("2001:db8::1"), name("2001:db8:0:0:ffff::2"));
        assert_ne!(name("2001:db8::1"), name("2001:db8:0:1::1"));
        assert_ne!(name("192.0.2.1"), name("192.0.2.2"));
        assert!(!account_bucket("hunter2").name.contains("hunter2"));
    }
}
