//! Customers who opt out by a link and by mail, and people who sign in to the pages. Goal: what they do binds from the answer
//! on, for whom it is meant and nobody else. Method: the doors over loopback with an embedded store.
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "a test of doors")]

mod house;

use house::{GOOD, House, house};

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

/// The way out of acme's customer, as the API tells it.
async fn way_out(h: &House) -> (String, String) {
    let told = h.ask("GET", "/v1/suppressions/+12125551234", "secret-1", "", "").await;
    assert_eq!((told.status, told.json["suppressed"].as_bool()), (200, Some(false)), "{}", told.json);
    assert_eq!(told.json["mail_fields"]["List-Unsubscribe-Post"], "List-Unsubscribe=One-Click");
    let url = told.json["opt_out"]["url"].as_str().unwrap().to_owned();
    let token = url.strip_prefix("/o/").unwrap().to_owned();
    (url, token)
}

#[tokio::test]
async fn rfc8058_3_2_one_click_is_no_more_calls_of_that_caller() {
    let h = house().await;
    let order = h.order("before", GOOD).await;
    let path = order.json["status_url"].as_str().unwrap().to_owned();
    let (url, _) = way_out(&h).await;
    let read = h.ask("GET", &path, "secret-1", "", "").await;
    assert_eq!(read.json["opt_out"]["url"], url.as_str(), "the call tells the same way out");

    let page = h.raw("GET", &url, "", "", "").await;
    assert!(page.contains("200 OK") && page.contains("acme") && page.contains("ends in 34"), "{page}");
    assert!(!page.contains("2125551234") && page.contains("no-store"), "{page}");
    assert_eq!(h.order("still", GOOD).await.status, 202, "a program that follows links changes nothing");

    let broken = format!("{}x", &url[..url.len() - 1]);
    assert!(h.raw("POST", &broken, "", FORM, "List-Unsubscribe=One-Click").await.contains("404 Not Found"));
    let click = h.raw("POST", &url, "", FORM, "List-Unsubscribe=One-Click").await;
    assert!(
        click.contains("200 OK") && click.contains("No more calls") && !click.contains("set-cookie"),
        "{click}"
    );

    assert_eq!(h.order("after", GOOD).await.status, 403);
    let other = GOOD.replace("+12125551234", "+15555551234");
    assert_eq!(h.ask("POST", "/v1/calls", "secret-2", "Idempotency-Key: o\r\n", &other).await.status, 202);
    let list = h.ask("GET", "/v1/suppressions", "secret-1", "", "").await;
    assert_eq!(list.json["suppressions"][0]["source"], "link", "{}", list.json);
    // What was ordered before is judged again when it is due: the same judge refuses it then.
    let settings = h.intake.settings.load_full();
    let tenant = &settings.tenants[&units::TenantId(1)];
    let fields = serde_json::from_str(GOOD).unwrap();
    let origin = control::order::Origin::Http { key: "main".into() };
    let (tenant_id, request_id) = (units::TenantId(1), "before");
    let arrival =
        node::intake::Arrival { tenant: tenant_id, origin, request_id, attached: &[], campaign: None };
    let parsed = h.intake.read(&fields, arrival, house::now()).unwrap();
    let decision = h.intake.judged(&parsed.orders[0], tenant, &settings, house::now().wall);
    assert_eq!(decision.verdict, control::policy::Verdict::Refuse);
    assert_eq!(decision.decisive().map(|b| b.rule.to_string()).as_deref(), Some("customer/opt_out"));
}

#[tokio::test]
async fn a_mail_to_the_token_is_no_more_calls_and_needs_no_form() {
    let h = house().await;
    let (_, token) = way_out(&h).await;
    let mail = |to: &str, more: &str| {
        format!(
            "EHLO a\r\nMAIL FROM:<ann@home.example>\r\nRCPT TO:<{to}@d.example>\r\nDATA\r\nFrom: ann@home.example\r\n\
             Subject: unsubscribe\r\n{more}\r\nTo: whom it may concern.\r\n.\r\nQUIT\r\n"
        )
    };
    let auto = h.mail(&mail(&format!("stop+{token}"), "Auto-Submitted: auto-replied\r\n")).await;
    assert!(auto.contains("550 5.7.1"), "somebody's holidays are no wish: {auto}");
    assert!(h.mail(&mail("stop+nobodys", "")).await.contains("\n550 "), "no token of ours");
    assert_eq!(h.order("still", GOOD).await.status, 202);
    let said = h.mail(&mail(&format!("stop+{token}"), "")).await;
    assert!(said.contains("250 2.0.0 You will not be called again"), "{said}");
    assert_eq!(h.order("after", GOOD).await.status, 403);
}

#[tokio::test]
async fn a_tenant_hands_on_by_mail_what_customers_told_it() {
    let h = house().await;
    let mail = |from: &str, subject: &str| {
        format!(
            "EHLO a\r\nMAIL FROM:<{from}>\r\nRCPT TO:<stop+acme@d.example>\r\nDATA\r\nFrom: {from}\r\n\
             Message-ID: <s@acme.example>\r\nSubject: {subject}\r\n\r\n\r\n.\r\nQUIT\r\n"
        )
    };
    let stranger = h.mail(&mail("eve@evil.example", "+12125551234")).await;
    assert!(stranger.contains("550 5.7.1"), "{stranger}");
    assert!(h.mail(&mail("ops@acme.example", "please")).await.contains("554 5.6.0"));
    assert_eq!(h.order("still", GOOD).await.status, 202);
    let said = h.mail(&mail("ops@acme.example", "stop +12125551234, +12125551235")).await;
    assert!(said.contains("250 2.0.0 2 will not be called again"), "{said}");
    assert_eq!(h.order("after", GOOD).await.status, 403);
}

/// Somebody at the pages: cookie and forms.
struct Person {
    cookie: String,
}

impl Person {
    fn of(answer: &str) -> Self {
        let set =
            answer.lines().find_map(|l| l.strip_prefix("set-cookie: ")).unwrap_or_else(|| panic!("{answer}"));
        assert!(set.contains("HttpOnly") && set.contains("SameSite=Strict"), "{set}");
        Self { cookie: format!("Cookie: {}\r\n", set.split(';').next().unwrap()) }
    }

    async fn see(&self, h: &House, path: &str) -> String {
        h.raw("GET", path, "", &self.cookie, "").await
    }

    async fn send(&self, h: &House, path: &str, body: &str) -> String {
        h.raw("POST", path, "", &format!("{FORM}{}", self.cookie), body).await
    }
}

/// The order form, filled in.
fn ordered(csrf: &str) -> String {
    format!(
        "csrf={csrf}&request_id=p1&to=%2B12125551234&application=https%3A%2F%2Fa.example%2F&purpose=survey"
    )
}

async fn choose(h: &House, link: &str, password: &str, again: &str) -> String {
    h.raw("POST", link, "", FORM, &format!("password={password}&again={again}")).await
}

fn word(page: &str) -> String {
    page.split("name=\"csrf\" value=\"").nth(1).and_then(|w| w.split('"').next()).expect("a word").to_owned()
}

#[tokio::test]
async fn a_person_chooses_a_password_by_a_link_and_does_what_the_role_says() {
    let h = house().await;
    let op = "root-of-all";
    assert_eq!(h.ask("PUT", "/v1/tenants/new", op, "", "{}").await.status, 200);
    let invite = |role: &'static str| {
        let h = &h;
        async move {
            let body = format!("{{\"role\":\"{role}\"}}");
            let made = h.ask("PUT", "/v1/tenants/new/users/ann", op, "", &body).await;
            assert_eq!(made.status, 201, "{}", made.json);
            made.json["link"].as_str().unwrap().to_owned()
        }
    };
    assert_eq!(h.ask("PUT", "/v1/tenants/new/users/ann", op, "", r#"{"role":"root"}"#).await.status, 400);
    assert_eq!(h.ask("PUT", "/v1/tenants/acme/users/ann", op, "", r#"{"role":"view"}"#).await.status, 409);
    assert_eq!(
        h.ask("PUT", "/v1/tenants/new/users/ann", "secret-1", "", r#"{"role":"view"}"#).await.status,
        403
    );
    let link = invite("view").await;
    let good = "correct-horse-battery";
    assert!(h.raw("GET", &link, "", "", "").await.contains("Welcome, ann"));
    assert!(choose(&h, &link, good, "another").await.contains("422"));
    assert!(choose(&h, &link, "short", "short").await.contains("422"));
    assert!(choose(&h, &format!("{link}x"), good, good).await.contains("404"));
    let ann = Person::of(&choose(&h, &link, good, good).await);
    assert!(choose(&h, &link, "an-other-password", "an-other-password").await.contains("404"), "works once");
    assert!(h.raw("GET", &link, "", "", "").await.contains("works no more"));

    let calls = ann.see(&h, "/console/calls").await;
    assert!(calls.contains("<h1>Calls</h1>"), "{calls}");
    assert!(ann.see(&h, "/console/order").await.contains("403 Forbidden"), "only to look");
    assert!(ann.send(&h, "/console/order", &ordered(&word(&calls))).await.contains("403 Forbidden"));

    let kept = h.ask("GET", "/v1/tenants/new", op, "", "").await;
    assert_eq!(
        (kept.json["users"]["ann"]["role"].as_str(), kept.json["users"]["ann"]["invited"].as_bool()),
        (Some("view"), Some(false))
    );
    assert!(!kept.json.to_string().contains("scrypt"), "{}", kept.json);

    // Another role, another link; the old password stays until it is used, and a new one ends the old sessions.
    let link = invite("order").await;
    let sign_in = |password: &'static str| {
        let h = &h;
        async move {
            h.raw("POST", "/console/login", "", FORM, &format!("tenant=New&user=ann&password={password}"))
                .await
        }
    };
    let ann = Person::of(&sign_in(good).await);
    let page = ann.see(&h, "/console/order").await;
    assert!(ann.send(&h, "/console/order", &ordered("forged")).await.contains("403 Forbidden"));
    let sent = ann.send(&h, "/console/order", &ordered(&word(&page))).await;
    let call = sent
        .lines()
        .find_map(|l| l.strip_prefix("location: "))
        .unwrap_or_else(|| panic!("{sent}"))
        .to_owned();
    assert!(ann.see(&h, &call).await.contains("+12125551234"));
    let newer = Person::of(&choose(&h, &link, "an-other-password", "an-other-password").await);
    assert!(ann.see(&h, "/console/calls").await.contains("303"), "the old password's session is over");
    assert!(newer.see(&h, "/console/calls").await.contains("<h1>Calls</h1>"));

    assert!(sign_in(good).await.contains("403"));
    assert_eq!(h.ask("DELETE", "/v1/tenants/new/users/ann", op, "", "").await.status, 204);
    assert!(newer.see(&h, "/console/calls").await.contains("303"), "and nobody is let in who was taken away");
}
