-- Layout 2: the load of servers, for those whom no bus reaches; how many orders wait, by tenant and writer.
ALTER TABLE servers ADD COLUMN load TEXT;
CREATE TABLE waiting (
  tenant BIGINT NOT NULL, slot BIGINT NOT NULL, n BIGINT NOT NULL, PRIMARY KEY (tenant, slot))
  WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01);
INSERT INTO waiting (tenant, slot, n) SELECT tenant, 0, count(*) FROM live GROUP BY tenant;
