-- Layout 2: the load of servers, for those whom no bus reaches; how many orders wait, by tenant and writer.
ALTER TABLE servers ADD COLUMN load TEXT;
CREATE TABLE waiting (
  tenant INTEGER NOT NULL, slot INTEGER NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (tenant, slot)) WITHOUT ROWID;
INSERT INTO waiting (tenant, slot, n) SELECT tenant, 0, count(*) FROM live GROUP BY tenant;
