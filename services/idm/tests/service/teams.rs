//! Teams: who looks after them, and that a Member opens what a team of theirs was given, and nothing else.

use std::net::SocketAddr;

use idm::{
    audit, authorization, cluster,
    organizations::{self, Organization, Role},
    routes,
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    authorization::{ask, serve},
    browser::Browser,
    door::{self, HOST, enter, knock},
    support::{ORIGIN, PASSWORD, Stage},
};

const TEAMS: &str = "/organizations/acme/teams";
const NOBODY: &str = "tea-00000000000000000000000000";

/// Acme with its apps `shop` and `wiki`; Ann, its Super Admin, and Ben, a Member, are signed in.
struct Acme {
    stage: Stage,
    organization: Organization,
    ann: Browser,
    ben: Browser,
    ben_uid: String,
}

impl Acme {
    async fn new() -> Self {
        let stage = Stage::start().await;
        let organization = door::acme(&stage).await;
        for name in ["shop", "wiki"] {
            stage.instance("acme", name).await;
        }
        let ann = ready(stage.sign_in("ann@acme.test").await).await;
        let (ben_uid, ben) = stage.signed_in("ben@acme.test").await;
        stage.join(&organization, &ben_uid, Role::Member).await;
        Self {
            stage,
            organization,
            ann,
            ben: ready(ben).await,
            ben_uid,
        }
    }

    /// Makes a team, and says where its page is.
    async fn team(&self, name: &str) -> String {
        make(&self.ann, TEAMS, name).await
    }

    /// A form of Ann's that is taken.
    async fn does(&self, path: &str, form: &[(&str, &str)]) {
        let answer = self.ann.post(path, form).await;
        assert_eq!(answer.status, 303, "{path}: {}", answer.body);
    }

    async fn put_in(&self, team: &str, person: &str) {
        self.does(&format!("{team}/members"), &[("person", person)])
            .await;
    }

    async fn give(&self, team: &str, instance: &str) {
        self.does(&format!("{team}/instances"), &[("instance", instance)])
            .await;
    }

    async fn version(&self) -> i64 {
        let mut connection = self.stage.pool.acquire().await.unwrap();
        authorization::store::version(&mut connection)
            .await
            .unwrap()
    }

    async fn count(&self, table: &str) -> i64 {
        let statement = sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
        sqlx::query_scalar(statement)
            .fetch_one(&self.stage.pool)
            .await
            .unwrap()
    }
}

/// With a form of theirs at hand, from a page that everybody may see.
async fn ready(browser: Browser) -> Browser {
    browser.get("/account").await;
    browser
}

async fn make(browser: &Browser, teams: &str, name: &str) -> String {
    let answer = browser.post(teams, &[("name", name)]).await;
    assert_eq!(answer.status, 303, "{}", answer.body);
    let (page, done) = answer.location().split_once('?').unwrap();
    assert_eq!(done, "done=saved");
    page.to_owned()
}

/// Asks everything that tells whether Ben may open the shop.
async fn opens(acme: &Acme, at: SocketAddr, pass: Option<&str>) -> bool {
    let may = async |name: &str| {
        let question = json!({
            "actor": { "person": acme.ben_uid },
            "action": "instance.open",
            "resource": { "kind": "instance", "organization": "acme", "name": name },
        });
        ask(at, "/v1/may", question).await
    };
    assert_eq!(may("wiki").await["code"], "InstanceNotGiven");
    let answer = may("shop").await;
    let opens = answer["decision"] == "allow";
    if !opens {
        assert_eq!(answer["code"], "InstanceNotGiven", "{answer}");
    }
    let apps = ask(
        at,
        "/v1/apps",
        json!({ "actor": { "person": acme.ben_uid } }),
    )
    .await;
    let names: Vec<&Value> = apps["apps"].as_array().unwrap().iter().collect();
    assert_eq!(names.len(), usize::from(opens), "{apps}");
    let home = acme.ben.get("/").await.body;
    let link = r#"<a href="https://shop.acme.example">The shop</a>"#;
    assert_eq!(home.contains(link), opens, "{home}");
    assert!(!home.contains("The wiki"), "{home}");
    let ask = "so far there is none. Ask ann@acme.test.";
    assert_eq!(!home.contains(ask), opens, "{home}");
    let led = knock(&acme.ben, &format!("https://{HOST}/a")).await;
    assert_eq!(led.status, if opens { 303 } else { 403 }, "{}", led.body);
    if let Some(pass) = pass {
        let (status, answer) = enter(at, pass).await;
        assert_eq!(status, if opens { 200 } else { 403 }, "{answer}");
    }
    opens
}

#[tokio::test]
async fn a_member_opens_an_app_while_a_team_of_theirs_has_it() {
    let acme = Acme::new().await;
    let at = serve(&acme.stage).await;
    assert!(!opens(&acme, at, None).await);
    let team = acme.team("Sales").await;
    acme.give(&team, "shop").await;
    let cleo = acme.stage.person("cleo@acme.test").await;
    acme.stage
        .join(&acme.organization, &cleo, Role::Member)
        .await;
    acme.put_in(&team, &cleo).await;
    assert!(!opens(&acme, at, None).await, "it is Cleo's team");
    acme.put_in(&team, &acme.ben_uid).await;
    assert!(opens(&acme, at, None).await);
    let pass = door::pass(at, &acme.ben).await;
    let pass = Some(pass.as_str());
    assert!(opens(&acme, at, pass).await);

    acme.does(&format!("{team}/instances/shop/take"), &[]).await;
    assert!(!opens(&acme, at, pass).await, "the app was taken away");
    acme.give(&team, "shop").await;
    assert!(opens(&acme, at, pass).await);

    let take_out = format!("{team}/members/{}/remove", acme.ben_uid);
    acme.does(&take_out, &[]).await;
    assert!(!opens(&acme, at, pass).await, "Ben was taken out");
    acme.put_in(&team, &acme.ben_uid).await;
    assert!(opens(&acme, at, pass).await);

    // An app of the same name in another organization is another app.
    let elsewhere = acme.stage.organization("elsewhere").await;
    acme.stage.instance("elsewhere", "shop").await;
    acme.stage
        .join(&elsewhere, &acme.ben_uid, Role::Member)
        .await;
    let question = json!({
        "actor": { "person": acme.ben_uid },
        "action": "instance.open",
        "resource": { "kind": "instance", "organization": "elsewhere", "name": "shop" },
    });
    let answer = ask(at, "/v1/may", question).await;
    assert_eq!(answer["code"], "InstanceNotGiven", "{answer}");
    let apps = ask(
        at,
        "/v1/apps",
        json!({ "actor": { "person": acme.ben_uid } }),
    );
    assert_eq!(apps.await["apps"].as_array().unwrap().len(), 1);
    let mut connection = acme.stage.pool.acquire().await.unwrap();
    organizations::store::remove(&mut connection, &elsewhere.uid, &acme.ben_uid)
        .await
        .unwrap();
    drop(connection);

    // Another team has it as well.
    let other = acme.team("Office").await;
    acme.give(&other, "shop").await;
    acme.put_in(&other, &acme.ben_uid).await;
    acme.does(&format!("{team}/delete"), &[]).await;
    assert!(opens(&acme, at, pass).await);
    acme.does(&format!("{other}/delete"), &[]).await;
    assert!(!opens(&acme, at, pass).await, "both teams are deleted");
    for table in ["teams", "team_members", "team_instances"] {
        assert_eq!(acme.count(table).await, 0, "{table}");
    }
}

#[tokio::test]
async fn home_speaks_the_language_of_whoever_has_no_team_and_names_an_admin_where_there_is_none() {
    let stage = Stage::start().await;
    stage.staff("root@example.com").await;
    let acme = stage.organization("acme").await;
    let (uid, ben) = stage.signed_in("ben@acme.test").await;
    stage.join(&acme, &uid, Role::Member).await;
    let page = ben.get("/").await;
    let words = "Ask an Admin of this organization.";
    assert!(page.body.contains(words), "{}", page.body);
    ben.get("/account").await;
    ben.post("/account/name", &[("name", "Ben"), ("locale", "de")])
        .await;
    let page = ben.get("/").await;
    let words = "Fragen Sie einen Admin dieser Organisation.";
    assert!(page.body.contains(words), "{}", page.body);
}

#[tokio::test]
async fn who_leaves_the_organization_leaves_its_teams() {
    let acme = Acme::new().await;
    let at = serve(&acme.stage).await;
    let team = acme.team("Sales").await;
    acme.give(&team, "shop").await;
    let remove = format!("/organizations/acme/people/{}/remove", acme.ben_uid);
    for by_oneself in [true, false] {
        acme.put_in(&team, &acme.ben_uid).await;
        assert!(opens(&acme, at, None).await);
        if by_oneself {
            let answer = acme.ben.post("/organizations/acme/leave", &[]).await;
            assert_eq!(answer.status, 303, "{}", answer.body);
        } else {
            acme.does(&remove, &[]).await;
        }
        assert_eq!(acme.count("team_members").await, 0);
        acme.stage
            .join(&acme.organization, &acme.ben_uid, Role::Member)
            .await;
        assert!(
            !opens(&acme, at, None).await,
            "who comes back comes into no team"
        );
    }
}

#[tokio::test]
async fn a_name_is_one_teams_in_its_organization_whatever_its_case() {
    let acme = Acme::new().await;
    let team = acme.team("Büro Öst").await;
    let other = acme.team("Sales <&>").await;
    for (path, name, words) in [
        (TEAMS, "büro öst", "There is a team of this name already."),
        (TEAMS, " BÜRO ÖST ", "There is a team of this name already."),
        (TEAMS, "", "A name has 1 to 100 characters"),
        (TEAMS, "a\u{202e}b", "A name has 1 to 100 characters"),
        (
            &format!("{other}/rename"),
            "BÜRO öst",
            "There is a team of this name already.",
        ),
        (
            &format!("{other}/rename"),
            " ",
            "A name has 1 to 100 characters",
        ),
    ] {
        let answer = acme.ann.post(path, &[("name", name)]).await;
        assert_eq!(answer.status, 422, "{path} {name:?}");
        assert!(
            answer.body.contains(words),
            "{path} {name:?}: {}",
            answer.body
        );
    }
    acme.does(&format!("{team}/rename"), &[("name", "BÜRO ÖST")])
        .await;
    let page = acme.ann.get(TEAMS).await.body;
    assert!(
        page.contains(">BÜRO ÖST</a>") && page.contains(">Sales &#60;&#38;&#62;</a>"),
        "{page}"
    );
    // Elsewhere it is another one's.
    acme.stage.organization("other").await;
    let root = ready(acme.stage.sign_in("root@example.com").await).await;
    make(&root, "/organizations/other/teams", "Büro Öst").await;
}

#[tokio::test]
async fn admins_and_staff_alone_look_after_teams() {
    let acme = Acme::new().await;
    let team = acme.team("Sales").await;
    acme.give(&team, "shop").await;
    acme.put_in(&team, &acme.ben_uid).await;
    let uid = team.rsplit('/').next().unwrap();
    let stage = &acme.stage;
    let somebody = async |email: &str, organization: &Organization, role| {
        let (uid, browser) = stage.signed_in(email).await;
        stage.join(organization, &uid, role).await;
        ready(browser).await
    };
    let elsewhere = stage.organization("other").await;
    let refused = [
        (404, ready(stage.signed_in("eve@example.com").await.1).await),
        (
            404,
            somebody("carl@other.test", &elsewhere, Role::SuperAdmin).await,
        ),
        (
            403,
            somebody("dora@acme.test", &acme.organization, Role::PowerUser).await,
        ),
        (403, ready(stage.sign_in("ben@acme.test").await).await),
    ];
    let mut walked = 0;
    for route in routes::all() {
        let Some(rest) = route.path.strip_prefix("/organizations/{name}/teams") else {
            continue;
        };
        walked += 1;
        let rest = rest
            .replace("{uid}", uid)
            .replace("{person}", &acme.ben_uid)
            .replace("{instance}", "shop");
        let path = format!("{TEAMS}{rest}");
        let form = [
            ("name", "Office"),
            ("person", acme.ben_uid.as_str()),
            ("instance", "wiki"),
        ];
        for (status, browser) in &refused {
            let answer = if route.method == Method::GET {
                browser.get(&path).await
            } else {
                browser.post(&path, &form).await
            };
            assert_eq!(answer.status, *status, "{} {path}", route.method);
        }
    }
    assert_eq!(walked, 9);
    for table in ["teams", "team_members", "team_instances"] {
        assert_eq!(acme.count(table).await, 1, "{table}");
    }

    // An Admin does all that, but to nobody above their own role; the staff does all.
    let admin = somebody("fay@acme.test", &acme.organization, Role::Admin).await;
    let root = ready(stage.sign_in("root@example.com").await).await;
    let ann: String = sqlx::query_scalar("select uid from people where email = 'ann@acme.test'")
        .fetch_one(&stage.pool)
        .await
        .unwrap();
    for (browser, status, name) in [(&admin, 403, "Lab"), (&root, 303, "Office")] {
        let page = browser.get("/organizations/acme/people").await;
        assert!(
            page.body
                .contains(r#"<a href="/organizations/acme/teams">"#)
        );
        let team = make(browser, TEAMS, name).await;
        let offered = browser.get(&team).await.body.contains(&ann);
        assert_eq!(offered, status == 303, "Ann can be put in");
        for (path, field, value, expected) in [
            ("rename", "name", "Works", 303),
            ("members", "person", ann.as_str(), status),
            ("members", "person", acme.ben_uid.as_str(), 303),
            ("instances", "instance", "wiki", 303),
            ("instances/wiki/take", "", "", 303),
        ] {
            let answer = browser
                .post(&format!("{team}/{path}"), &[(field, value)])
                .await;
            assert_eq!(answer.status, expected, "{path}: {}", answer.body);
        }
        acme.put_in(&team, &ann).await;
        for (person, expected) in [(&ann, status), (&acme.ben_uid, 303)] {
            let path = format!("{team}/members/{person}/remove");
            assert_eq!(browser.post(&path, &[]).await.status, expected);
        }
        let answer = browser.post(&format!("{team}/delete"), &[]).await;
        assert_eq!(
            answer.location(),
            "/organizations/acme/teams?done=team-deleted"
        );
    }
}

#[tokio::test]
async fn people_apps_and_teams_of_other_organizations_stay_there() {
    let acme = Acme::new().await;
    let stage = &acme.stage;
    let other = stage.organization("other").await;
    let eve = stage.person("eve@other.test").await;
    stage.join(&other, &eve, Role::Member).await;
    stage.instance("other", "secret").await;
    let root = ready(stage.sign_in("root@example.com").await).await;
    let foreign = make(&root, "/organizations/other/teams", "Theirs").await;
    let foreign = foreign.rsplit('/').next().unwrap();
    let team = acme.team("Sales").await;
    let page = acme.ann.get(&team).await.body;
    assert!(!page.contains(&eve) && !page.contains("secret"), "{page}");
    // By the staff, too, which may do all of it in either organization.
    for browser in [&acme.ann, &root] {
        for (path, field, value) in [
            (format!("{team}/members"), "person", eve.as_str()),
            (format!("{team}/members"), "person", "usr-nobody"),
            (format!("{team}/instances"), "instance", "secret"),
            (format!("{team}/instances/secret/take"), "", ""),
            (format!("{team}/members/{eve}/remove"), "", ""),
            (
                format!("{team}/members/{}/remove", acme.ben_uid),
                "",
                "Ben is not in it",
            ),
            (format!("{TEAMS}/{foreign}/rename"), "name", "Ours"),
            (format!("{TEAMS}/{foreign}/delete"), "", ""),
            (format!("{TEAMS}/{foreign}/instances"), "instance", "shop"),
            (
                format!("{TEAMS}/{foreign}/members"),
                "person",
                acme.ben_uid.as_str(),
            ),
            (format!("{TEAMS}/{NOBODY}/delete"), "", ""),
        ] {
            let answer = browser.post(&path, &[(field, value)]).await;
            assert_eq!(answer.status, 404, "{path} {value}: {}", answer.body);
        }
        let page = browser.get(&format!("{TEAMS}/{foreign}")).await;
        assert_eq!(page.status, 404);
    }
    for (table, rows) in [("teams", 2), ("team_members", 0), ("team_instances", 0)] {
        assert_eq!(acme.count(table).await, rows, "{table}");
    }
    // Nor does the database take it: neither a stranger, nor a team under another organization.
    for (team, organization, person) in [
        (foreign, &acme.organization.uid, &acme.ben_uid),
        (foreign, &other.uid, &acme.ben_uid),
    ] {
        let put = sqlx::query(
            "insert into team_members (team, organization, person) values ($1, $2, $3)",
        );
        let error = put
            .bind(team)
            .bind(organization)
            .bind(person)
            .execute(&stage.pool)
            .await
            .unwrap_err();
        let error = error.into_database_error().unwrap();
        assert!(error.is_foreign_key_violation(), "{error}");
    }
}

#[tokio::test]
async fn what_decides_is_counted_and_every_deed_is_written_down() {
    let acme = Acme::new().await;
    let ben = acme.ben_uid.as_str();
    let team = acme.team("Sales").await;
    let uid = team.rsplit('/').next().unwrap();
    let take_out = format!("{team}/members/{ben}/remove");
    let deeds = [
        (format!("{team}/members"), "person", ben, true),
        (format!("{team}/members"), "person", ben, false),
        (format!("{team}/instances"), "instance", "shop", true),
        (format!("{team}/instances"), "instance", "shop", false),
        (format!("{team}/rename"), "name", "Office", false),
        (format!("{team}/rename"), "name", "Office", false),
        (take_out, "", "", true),
        (format!("{team}/instances/shop/take"), "", "", true),
        (format!("{team}/delete"), "", "", true),
    ];
    let mut version = acme.version().await;
    for (path, field, value, is_counted) in deeds {
        acme.does(&path, &[(field, value)]).await;
        let after = acme.version().await;
        assert_eq!(after > version, is_counted, "{path}");
        version = after;
    }
    let rows: Vec<(String, Option<String>, Value)> = sqlx::query_as(
        "select deed, subject, details from audit where organization = $1 order by sequence",
    )
    .bind(&acme.organization.uid)
    .fetch_all(&acme.stage.pool)
    .await
    .unwrap();
    // What was so already is no deed.
    let expected = [
        ("TeamMade", json!({ "name": "Sales" })),
        ("TeamMemberAdded", json!({ "name": "Sales", "person": ben })),
        (
            "InstanceGiven",
            json!({ "name": "Sales", "instance": "shop" }),
        ),
        ("TeamRenamed", json!({ "name": "Sales", "new": "Office" })),
        (
            "TeamMemberRemoved",
            json!({ "name": "Office", "person": ben }),
        ),
        (
            "InstanceTaken",
            json!({ "name": "Office", "instance": "shop" }),
        ),
        ("TeamDeleted", json!({ "name": "Office" })),
    ];
    let expected = expected.map(|(deed, details)| (deed.to_owned(), Some(uid.to_owned()), details));
    assert_eq!(rows, expected);
    let mut connection = acme.stage.pool.acquire().await.unwrap();
    assert!(audit::store::verify(&mut connection).await.unwrap().is_ok());
}

#[tokio::test]
async fn a_gift_outlasts_an_app_that_is_away_and_can_be_taken_meanwhile() {
    let acme = Acme::new().await;
    let at = serve(&acme.stage).await;
    let team = acme.team("Sales").await;
    acme.give(&team, "shop").await;
    acme.give(&team, "wiki").await;
    acme.does(&format!("{team}/instances/wiki/take"), &[]).await;
    acme.put_in(&team, &acme.ben_uid).await;
    let away = async || {
        let mut connection = acme.stage.pool.acquire().await.unwrap();
        let key = ("acme".to_owned(), "shop".to_owned());
        cluster::store::remove_instance(&mut connection, &key)
            .await
            .unwrap();
    };
    away().await;
    assert!(!acme.ben.get("/").await.body.contains("The shop"));
    let page = acme.ann.get(&team).await.body;
    assert!(page.contains("shop · not there at the moment"), "{page}");
    acme.stage.instance("acme", "shop").await;
    assert!(opens(&acme, at, None).await);
    away().await;
    acme.does(&format!("{team}/instances/shop/take"), &[]).await;
    let again = acme
        .ann
        .post(&format!("{team}/instances"), &[("instance", "shop")])
        .await;
    assert_eq!(again.status, 404, "what is not there is not given");
    acme.stage.instance("acme", "shop").await;
    assert!(!opens(&acme, at, None).await);
}

#[tokio::test]
async fn who_joins_while_teams_change_keeps_nobody_waiting_for_ever() {
    let acme = Acme::new().await;
    let team = acme.team("Sales").await;
    let mut links = Vec::new();
    for number in 0..24 {
        let email = format!("new{number}@acme.test");
        let form = [("email", email.as_str()), ("role", "Member")];
        let page = acme
            .ann
            .post("/organizations/acme/invitations", &form)
            .await;
        let link = page.between("<p><code>", "</code>");
        links.push(link.strip_prefix(ORIGIN).unwrap().to_owned());
    }
    let joins = async {
        for pair in links.chunks(2) {
            let join = async |link: &str| {
                let browser = acme.stage.browser();
                browser.get(link).await;
                let form = [("name", "New"), ("password", PASSWORD)];
                let answer = browser.post(&format!("{link}/person"), &form).await;
                assert_eq!(answer.status, 303, "{}", answer.body);
            };
            tokio::join!(join(&pair[0]), join(&pair[1]));
        }
    };
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let moves = async {
        while !is_over.load(std::sync::atomic::Ordering::SeqCst) {
            acme.put_in(&team, &acme.ben_uid).await;
            let take_out = format!("{team}/members/{}/remove", acme.ben_uid);
            acme.does(&take_out, &[]).await;
        }
    };
    let joins = async {
        joins.await;
        is_over.store(true, std::sync::atomic::Ordering::SeqCst);
    };
    tokio::join!(joins, moves);
}

#[tokio::test]
async fn of_two_who_delete_and_change_at_once_each_is_answered_and_nothing_is_left_behind() {
    let acme = Acme::new().await;
    let twin = acme.stage.twin().await;
    let other = Browser::new(twin.replica().await, "192.0.2.2");
    assert_eq!(other.sign_in("ann@acme.test", PASSWORD).await.status, 303);
    let other = ready(other).await;
    for round in 0..8 {
        let team = acme.team(&format!("Team {round}")).await;
        let forms = [
            (format!("{team}/members"), "person", acme.ben_uid.as_str()),
            (format!("{team}/instances"), "instance", "shop"),
            (format!("{team}/rename"), "name", "Another"),
        ];
        let delete = format!("{team}/delete");
        let [one, two, three] = forms.each_ref().map(|(path, field, value)| {
            let form = [(*field, *value)];
            let acme = &acme;
            async move { acme.ann.post(path, &form).await.status }
        });
        let deletes = async { other.post(&delete, &[]).await.status };
        // Somebody comes and goes meanwhile, which holds the same rows in another order.
        let moves = async {
            let uid = acme.stage.person(&format!("p{round}@acme.test")).await;
            acme.stage
                .join(&acme.organization, &uid, Role::Member)
                .await;
            let mut connection = acme.stage.pool.acquire().await.unwrap();
            organizations::store::remove(&mut connection, &acme.organization.uid, &uid)
                .await
                .unwrap();
        };
        let (one, two, three, deleted, ()) = tokio::join!(one, two, three, deletes, moves);
        assert_eq!(deleted, 303, "round {round}");
        for status in [one, two, three] {
            assert!([303, 404].contains(&status), "round {round}: {status}");
        }
        for table in ["teams", "team_members", "team_instances"] {
            assert_eq!(acme.count(table).await, 0, "round {round}: {table}");
        }
        // Of two who make the same one, one does.
        let make = |browser| async move {
            let browser: &Browser = browser;
            browser.post(TEAMS, &[("name", "Sales")]).await.status
        };
        let (one, two) = tokio::join!(make(&acme.ann), make(&other));
        assert_eq!([one.min(two), one.max(two)], [303, 422], "round {round}");
        // Of two who delete it, one does.
        let page = acme.ann.get(TEAMS).await;
        let uid = page.between(&format!("{TEAMS}/"), "\"").to_owned();
        let delete = format!("{TEAMS}/{uid}/delete");
        let (one, two) = tokio::join!(acme.ann.post(&delete, &[]), other.post(&delete, &[]));
        let (one, two) = (one.status, two.status);
        assert_eq!([one.min(two), one.max(two)], [303, 404], "round {round}");
    }
}
