//! The plan file of the demo's world. It is written once and read by Mainstay like any other plan file.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::process::{SITE, WORLD};
use super::record::{Database, TENANTS, World};
use super::site::Site;

/// How long a lease on writing lasts.
const LEASE: &str = "1500ms";
/// The name server's zone, and the application's name in it.
pub(super) const ZONE: &str = "orders.test";
pub(super) const NAME: &str = "app.orders.test";
/// The name of the key that signs updates.
pub(super) const KEY: &str = "mover";

/// The whole file.
pub(super) fn text(world: &World) -> String {
    let mut out = String::from(HEAD);
    let at = |site| world.addresses.agent(site);
    let _ = writeln!(out, "sites:");
    for (site, domain) in [(Site::Prod, "north"), (Site::Dr, "west")] {
        let _ = writeln!(
            out,
            "  {site}: {{ domain: {domain}, health: \"http://{}/healthz\", fence: [ {{ kind: agent }} ] }}",
            at(site)
        );
    }
    let _ = writeln!(
        out,
        "  witness: {{ domain: east, role: witness, health: \"http://{}/healthz\" }}",
        at(Site::Witness)
    );
    out.push_str(PROMISES);
    stores(world, &mut out);
    web(world, &mut out);
    jobs(world, &mut out);
    routes(world, &mut out);
    out.push_str(DETECT);
    out
}

const HEAD: &str = "\
# The demo's system: a multi-tenant order service on two sites, and a witness.
# Written by `mainstay demo up`. Change it as you like; `mainstay check` says what is wrong.
mainstay: 1
system: orders
";

const PROMISES: &str = "
placement: { default: prod }
objectives: { rpo: 30s, rto: 1m }
control: { state: \"file:./.mainstay\" }

# Restore points are kept away from both sites.
repositories:
  offsite: { url: \"file:./offsite\", domain: south, password: { file: ./keys/offsite.password }, mirrors: [third] }
  third:   { url: \"file:./third\", domain: center, password: { file: ./keys/offsite.password } }
";

const DETECT: &str = "
# Observers look over the network. A lost site is moved away from without asking anybody: the loss is accepted here.
detect:
  observers: [prod, dr, witness]
  every: 1s
  confirm: 1500ms
  cooldown: 10s
  act: [ { scenario: site-lost, accept_loss: 30s, until: 2099-12-31 } ]
";

fn stores(world: &World, out: &mut String) {
    let _ = writeln!(out, "\nstores:\n  ledger:");
    match world.database {
        Database::Sqlite => {
            let _ = writeln!(out, "    kind: sqlite\n    at:");
            for site in Site::DATA {
                let _ = writeln!(
                    out,
                    "      {site}: {{ url: \"sqlite:./{site}/orders.db\" }}"
                );
            }
            let _ = writeln!(
                out,
                "    copy: {{ every: 1s }}\n    backup: [ {{ every: 10m, to: offsite, keep: {{ within: 14d }} }} ]"
            );
        }
        Database::Postgres => {
            let _ = writeln!(out, "    kind: postgres\n    at:");
            for site in Site::DATA {
                let _ = writeln!(
                    out,
                    "      {site}: {{ url: \"postgres://{}/orders\", user: mainstay, password: {{ file: ./keys/mainstay.password }}, \
                     data: ./{site}/postgres/data, replication: {{ user: copier, password: {{ file: ./keys/copier.password }} }} }}",
                    world.addresses.database(site)
                );
            }
            let _ = writeln!(
                out,
                "    copy: {{ by: streaming }}\n    app_roles: [orders]\n    \
                 backup: [ {{ every: 10m, to: offsite, keep: {{ within: 14d }}, pitr: 14d }} ]"
            );
        }
    }
    let _ = writeln!(out, "    checks: [ \"SELECT count(*) > 0 FROM orders\" ]");
    let _ = writeln!(
        out,
        "    lease: {LEASE}        # the witness grants it; a holder that hears nothing stops writing by itself"
    );
    let _ = writeln!(out, "  attachments:\n    kind: files\n    at:");
    for site in Site::DATA {
        let _ = writeln!(out, "      {site}: {{ url: \"file:./{site}/files\" }}");
    }
    let _ = writeln!(
        out,
        "    copy: {{ every: 1s, deletes: mirror }}\n    backup: [ {{ every: 10m, to: offsite, keep: {{ within: 14d }} }} ]\n    \
         lease: {LEASE}"
    );
    let _ = writeln!(
        out,
        "\n# After a forced move the database may name attachments that were not copied yet: web records them as lost.\n\
         groups: {{ orders: {{ stores: [ledger, attachments], on_skew: report, check: web }} }}"
    );
}

fn web(world: &World, out: &mut String) {
    let program = quoted(&world.program.to_string_lossy());
    let _ = writeln!(out, "\nworkloads:\n  web:\n    kind: process\n    at:");
    for site in Site::DATA {
        let _ = writeln!(out, "      {site}:");
        let _ = writeln!(
            out,
            "        command: [{program}, demo-part, order-service]"
        );
        let _ = writeln!(out, "        instances:");
        for number in 0..2 {
            let replica = world.addresses.replicas(site)[number];
            let _ = writeln!(out, "          - args: [{}]", service(world, site, number));
            let _ = writeln!(
                out,
                "            ready: {{ get: \"http://{replica}/ready\", timeout: 1s }}"
            );
        }
        let first = world.addresses.replicas(site)[0];
        let _ = writeln!(
            out,
            "        verify: {{ get: \"http://{first}/verify\", timeout: 10s, expect: {{ json: {{ ok: true }} }} }}"
        );
        let _ = writeln!(
            out,
            "        reconcile: {{ command: [{program}, demo-part, reconcile, {}], timeout: 30s }}",
            reconcile(world, site)
        );
        marks(world, site, out);
        if world.database == Database::Postgres {
            let _ = writeln!(
                out,
                "        secret_env: {{ DEMO_DATABASE_PASSWORD: {{ file: ./keys/orders.password }} }}"
            );
        }
        let _ = writeln!(out, "        stop: {{ signal: TERM, grace: 2s }}");
    }
    let _ = writeln!(out, "    uses: [ledger, attachments]\n    standby: warm");
}

fn jobs(world: &World, out: &mut String) {
    let program = quoted(&world.program.to_string_lossy());
    let _ = writeln!(
        out,
        "  jobs:\n    kind: process\n    role: scheduler\n    at:"
    );
    for site in Site::DATA {
        let at = world.addresses.jobs(site);
        let _ = writeln!(out, "      {site}:");
        let _ = writeln!(
            out,
            "        command: [{program}, demo-part, scheduler, {}]",
            scheduler(world, site)
        );
        let _ = writeln!(
            out,
            "        ready: {{ get: \"http://{at}/healthz\", timeout: 1s }}"
        );
        for verb in ["hold", "release"] {
            let _ = writeln!(
                out,
                "        {verb}: {{ post: \"http://{at}/{verb}\", timeout: 3s }}"
            );
        }
        let _ = writeln!(
            out,
            "        held: {{ get: \"http://{at}/state\", expect: {{ json: {{ paused: true }} }}, timeout: 3s }}"
        );
        marks(world, site, out);
        let _ = writeln!(out, "        stop: {{ signal: TERM, grace: 2s }}");
    }
    let _ = writeln!(
        out,
        "    uses: [ledger]\n    after: [web]\n    standby: warm"
    );
}

/// By these the demo finds the processes of its world again.
fn marks(world: &World, site: Site, out: &mut String) {
    let _ = writeln!(
        out,
        "        env: {{ {WORLD}: \"{}\", {SITE}: {site} }}",
        world.token
    );
}

fn routes(world: &World, out: &mut String) {
    let targets: Vec<String> = Site::DATA
        .into_iter()
        .map(|site| {
            let [first, second] = world.addresses.replicas(site);
            format!("{site}: [\"{}\", \"{}\"]", first.ip(), second.ip())
        })
        .collect();
    let _ = writeln!(
        out,
        "\nroutes:\n  app:\n    kind: dns\n    name: {NAME}\n    zone: {ZONE}"
    );
    let _ = writeln!(
        out,
        "    server: \"{}\"\n    ttl: 1s",
        world.addresses.dns()
    );
    let _ = writeln!(
        out,
        "    tsig: {{ name: {KEY}, algorithm: hmac-sha256, secret: {{ file: ./witness/mover.key }} }}"
    );
    let _ = writeln!(
        out,
        "    to: {{ {} }}\n    serves: [web]",
        targets.join(", ")
    );
}

/// What every program of the application is told about a site.
fn application(world: &World, site: Site) -> Value {
    let database = match world.database {
        Database::Sqlite => format!("sqlite:{site}/orders.db"),
        Database::Postgres => {
            format!("postgres:{}", world.postgres_url(site))
        }
    };
    json!({
        "site": site,
        "database": database,
        "files": format!("{site}/files"),
        "lease": { "url": format!("http://{}", world.addresses.agent(Site::Witness)), "store": "ledger" },
    })
}

/// The options of one replica, as an argument.
fn service(world: &World, site: Site, number: usize) -> String {
    let mut options = application(world, site);
    options["replica"] = json!(format!("{site}-{}", number + 1));
    options["listen"] = json!(world.addresses.replicas(site)[number]);
    options["tenants"] = json!(TENANTS);
    argument(&options)
}

/// The options of the comparison of a site's stores, as an argument.
fn reconcile(world: &World, site: Site) -> String {
    argument(&application(world, site))
}

fn scheduler(world: &World, site: Site) -> String {
    let services: Vec<String> = world
        .addresses
        .replicas(site)
        .map(|replica| format!("http://{replica}"))
        .to_vec();
    argument(&json!({
        "site": site,
        "listen": world.addresses.jobs(site),
        "services": services,
        "list": format!("{site}/ticks.jsonl"),
        "rate": 4,
    }))
}

fn argument(options: &Value) -> String {
    quoted(&options.to_string())
}

/// A JSON string is a YAML string.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
