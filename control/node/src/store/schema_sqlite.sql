-- The store on SQLite. Times are ms of UTC, ids 16 octets. See `store/mod.rs` for the why of each table.
-- The payload and, once over, the last status. Appended in order of acceptance.
CREATE TABLE IF NOT EXISTS orders (
  accepted INTEGER NOT NULL, id BLOB NOT NULL, tenant INTEGER NOT NULL, body TEXT NOT NULL,
  done INTEGER NOT NULL DEFAULT 0, disposition TEXT, attempts INTEGER, changed INTEGER, seq INTEGER, epoch INTEGER,
  decision TEXT, result TEXT,
  PRIMARY KEY (accepted, id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS orders_id ON orders (id);
CREATE INDEX IF NOT EXISTS orders_tenant ON orders (tenant, accepted, id);
-- Request ids for de-duplication.
CREATE TABLE IF NOT EXISTS intake (
  tenant INTEGER NOT NULL, request_id TEXT NOT NULL, digest BLOB NOT NULL, id BLOB NOT NULL, accepted INTEGER NOT NULL,
  PRIMARY KEY (tenant, request_id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS intake_accepted ON intake (accepted);
-- Narrow and hot: what may be claimed.
CREATE TABLE IF NOT EXISTS ready (
  priority INTEGER NOT NULL, tenant INTEGER NOT NULL, due INTEGER NOT NULL, id BLOB NOT NULL,
  PRIMARY KEY (priority, tenant, due, id)) WITHOUT ROWID;
-- One row per order that is not over.
CREATE TABLE IF NOT EXISTS live (
  id BLOB NOT NULL PRIMARY KEY, accepted INTEGER NOT NULL, tenant INTEGER NOT NULL, priority INTEGER NOT NULL,
  state INTEGER NOT NULL, due INTEGER NOT NULL, expires INTEGER NOT NULL, attempts INTEGER NOT NULL,
  tries INTEGER NOT NULL, crashes INTEGER NOT NULL, changed INTEGER NOT NULL, seq INTEGER NOT NULL,
  epoch INTEGER NOT NULL, claimed INTEGER NOT NULL, owner INTEGER NOT NULL, until INTEGER NOT NULL, attempt BLOB,
  server INTEGER, trunk TEXT, dialog BLOB, intent_at INTEGER, acked BLOB, cancel INTEGER NOT NULL, caps TEXT,
  decision TEXT, notify TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS live_lapse ON live (until) WHERE claimed = 1;
CREATE INDEX IF NOT EXISTS live_expiry ON live (expires) WHERE claimed = 0;
CREATE INDEX IF NOT EXISTS live_owner ON live (owner) WHERE claimed > 0;
CREATE INDEX IF NOT EXISTS live_attempt ON live (attempt) WHERE claimed > 0;
-- The rolling log of attempts per key.
CREATE TABLE IF NOT EXISTS caps (
  key TEXT NOT NULL, at INTEGER NOT NULL, attempt BLOB NOT NULL,
  PRIMARY KEY (key, at, attempt)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS caps_at ON caps (at);
CREATE TABLE IF NOT EXISTS records (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, attempt BLOB NOT NULL, order_id BLOB, tenant INTEGER NOT NULL,
  ended INTEGER NOT NULL, body TEXT NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS records_attempt ON records (attempt);
CREATE INDEX IF NOT EXISTS records_order ON records (order_id) WHERE order_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS records_tenant ON records (tenant, seq);
CREATE INDEX IF NOT EXISTS records_ended ON records (ended);
CREATE TABLE IF NOT EXISTS story (
  n INTEGER PRIMARY KEY AUTOINCREMENT, attempt BLOB NOT NULL, at INTEGER NOT NULL, kind TEXT NOT NULL, text TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS story_attempt ON story (attempt, at, n);
CREATE INDEX IF NOT EXISTS story_at ON story (at);
CREATE TABLE IF NOT EXISTS notices (
  n INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB NOT NULL, target TEXT NOT NULL, seq INTEGER NOT NULL,
  body TEXT NOT NULL, tries INTEGER NOT NULL, due INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS notices_due ON notices (due, n);
CREATE INDEX IF NOT EXISTS notices_line ON notices (id, target, n);
CREATE TABLE IF NOT EXISTS servers (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, role TEXT NOT NULL, address TEXT NOT NULL,
  epoch INTEGER NOT NULL, seen INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS shards (
  shard INTEGER PRIMARY KEY, owner INTEGER NOT NULL, epoch INTEGER NOT NULL, until INTEGER NOT NULL);

-- Small things by name. Names are compared by octets.
CREATE TABLE IF NOT EXISTS shelf (
  shelf INTEGER NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL,
  PRIMARY KEY (shelf, name)) WITHOUT ROWID;
