//! The first administrator.

use crate::{
    browser::Browser,
    second_factor::Phone,
    support::{CODE, PASSWORD, Stage},
};

const FORM: [(&str, &str); 3] = [
    ("email", "root@example.com"),
    ("name", "Root"),
    ("password", PASSWORD),
];

async fn needed(browser: &Browser) -> String {
    browser.get("/v1/bootstrap").await.body
}

/// Types the code, and scans the picture.
async fn claim(browser: &Browser) -> Phone {
    browser.get("/bootstrap").await;
    let answer = browser
        .post("/bootstrap", &[("code", &format!(" {CODE} "))])
        .await;
    assert_eq!(
        (answer.status, answer.location()),
        (303, "/bootstrap/person"),
        "{}",
        answer.body
    );
    Phone::scan(&browser.get("/bootstrap/person").await)
}

#[tokio::test]
async fn whoever_has_the_code_becomes_the_first_administrator_and_the_code_is_dead_for_ever() {
    let stage = Stage::start().await;
    let browser = stage.browser();
    assert_eq!(needed(&browser).await, r#"{"needed":true}"#);
    assert_eq!(browser.get("/sign-in").await.location(), "/bootstrap");
    assert_eq!(
        browser.get("/bootstrap/person").await.status,
        410,
        "without the code"
    );
    let phone = claim(&browser).await;

    let code = phone.code(stage.app.now());
    let with = |name: &'static str, value: &'static str| {
        let mut form: Vec<(&str, &str)> = FORM.to_vec();
        form.push(("code", &code));
        form.iter_mut()
            .filter(|(field, _)| *field == name)
            .for_each(|(_, old)| *old = value);
        form
    };
    for (name, value, words) in [
        ("email", "no address", "not an e-mail address"),
        ("name", " ", "1 to 100 characters"),
        ("password", "password1", "too easy to guess"),
        ("password", "root@example.com", "too easy to guess"),
        ("code", "000000", "code is wrong"),
    ] {
        let answer = browser.post("/bootstrap/person", &with(name, value)).await;
        assert_eq!(answer.status, 422, "{name}");
        assert!(answer.body.contains(words), "{name}: {}", answer.body);
    }
    let answer = browser.post("/bootstrap/person", &with("", "")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.body.contains("Recovery codes"));
    let account = browser.get("/account").await;
    assert!(
        account.body.contains("root@example.com")
            && account.body.contains("Recovery codes left: 10.")
    );
    assert_eq!(
        browser.get("/organizations").await.status,
        200,
        "is an administrator"
    );

    assert_eq!(needed(&browser).await, r#"{"needed":false}"#);
    let late = stage.browser();
    late.get("/sign-in").await;
    for path in ["/bootstrap", "/bootstrap/person"] {
        assert_eq!(late.get(path).await.status, 410, "{path}");
    }
    assert_eq!(late.post("/bootstrap", &[("code", CODE)]).await.status, 410);
    // Whatever becomes of that person.
    sqlx::query("delete from people")
        .execute(&stage.pool)
        .await
        .unwrap();
    assert_eq!(needed(&late).await, r#"{"needed":false}"#);
    assert_eq!(late.get("/bootstrap").await.status, 410);
    assert_eq!(stage.deeds().await, ["BootstrapDone", "SignedIn"]);
}

#[tokio::test]
async fn a_wrong_code_is_refused_and_soon_throttled() {
    let stage = Stage::start().await;
    let browser = stage.browser();
    browser.get("/bootstrap").await;
    let mut statuses = Vec::new();
    for _ in 0..51 {
        statuses.push(
            browser
                .post("/bootstrap", &[("code", "wrong")])
                .await
                .status,
        );
    }
    assert!(
        statuses[..50].iter().all(|status| *status == 401),
        "{statuses:?}"
    );
    assert_eq!(statuses[50], 429);
    let other = stage.browser_from("198.51.100.1");
    claim(&other).await;
}

#[tokio::test]
async fn of_two_who_have_the_code_at_once_one_becomes_administrator() {
    let stage = Stage::start().await;
    let (one, other) = (stage.browser(), stage.browser());
    let (first, second) = (claim(&one).await, claim(&other).await);
    let finish = async |browser: &Browser, phone: &Phone, email: &str| {
        let code = phone.code(stage.app.now());
        let form = [
            ("email", email),
            ("name", "Root"),
            ("password", PASSWORD),
            ("code", code.as_str()),
        ];
        browser.post("/bootstrap/person", &form).await.status
    };
    let (one, other) = tokio::join!(
        finish(&one, &first, "one@example.com"),
        finish(&other, &second, "other@example.com")
    );
    let mut statuses = [one, other];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 410]);
    let people: i64 = sqlx::query_scalar("select count(*) from people")
        .fetch_one(&stage.pool)
        .await
        .unwrap();
    assert_eq!(people, 1);
}

#[tokio::test]
async fn without_a_code_there_is_no_bootstrap_and_the_page_says_what_to_do() {
    let stage = Stage::start_with(|settings| settings.bootstrap_code = None).await;
    let answer = stage.browser().get("/bootstrap").await;
    assert_eq!(answer.status, 404);
    assert!(answer.body.contains("idm admin create"), "{}", answer.body);
}
