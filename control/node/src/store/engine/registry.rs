//! Who lives, and who owns which shard of tenants.

use super::{Batch, Fail};
use crate::store::db::{Columns, Db, Value};
use control::bus::{Load, SHARDS};
use control::store::{Answer, Error, Node};
use std::collections::{BTreeMap, BTreeSet};
use units::{ServerId, Wall};

const NODES: &str = "SELECT id, name, role, address, epoch, seen, load FROM servers ORDER BY id";
const JOIN: &str =
    "INSERT INTO servers (id, name, role, address, epoch, seen, load) VALUES (?1, ?2, ?3, ?4, 1, ?5, ?6)";
const BEAT: &str =
    "UPDATE servers SET role = ?1, address = ?2, epoch = ?3, seen = ?4, load = ?5 WHERE id = ?6";
const SHARDS_ALL: &str = "SELECT shard, owner, epoch, until FROM shards ORDER BY shard";
const KEEP: &str = "INSERT INTO shards (shard, owner, epoch, until) VALUES (?1, ?2, ?3, ?4) \
     ON CONFLICT (shard) DO UPDATE SET owner = excluded.owner, epoch = excluded.epoch, until = excluded.until";

impl<D: Db> Batch<'_, D> {
    pub(super) fn beat(
        &mut self,
        name: &str,
        role: &str,
        address: &str,
        epoch: u64,
        load: Option<Load>,
    ) -> Result<Answer, Fail> {
        let mut nodes = self.nodes()?;
        let own = nodes.iter().position(|n| n.name == name);
        let mut node = match own {
            Some(i) if epoch != 0 && nodes[i].epoch != epoch => return Err(Error::Fenced.into()),
            Some(i) => nodes.remove(i),
            None => Node {
                id: ServerId(nodes.iter().map(|n| n.id.0).max().unwrap_or(0) + 1),
                name: name.to_owned(),
                role: role.to_owned(),
                address: address.to_owned(),
                epoch: 0,
                seen: Wall(self.now),
                load,
            },
        };
        node.epoch += u64::from(epoch == 0);
        (node.role, node.address, node.seen) = (role.to_owned(), address.to_owned(), Wall(self.now));
        node.load = load;
        let id = node.id.0.into();
        let load: Value = load.map(|l| serde_json::to_string(&l).unwrap_or_default()).into();
        match own {
            Some(_) => self.db.write(
                BEAT,
                vec![role.into(), address.into(), node.epoch.into(), self.now.into(), load, id],
            )?,
            None => {
                let row = vec![id, name.into(), role.into(), address.into(), self.now.into(), load];
                self.db.write(JOIN, row)?
            }
        }
        nodes.insert(0, node);
        Ok(Answer::Nodes(nodes))
    }

    fn nodes(&mut self) -> Result<Vec<Node>, Fail> {
        let mut nodes = Vec::new();
        for row in self.db.read(NODES, &[])? {
            let mut columns = Columns::of(row);
            nodes.push(Node {
                id: ServerId(columns.u32()?),
                name: columns.text()?,
                role: columns.text()?,
                address: columns.text()?,
                epoch: columns.u64()?,
                seen: Wall(columns.int()?),
                load: columns.text_or_null()?.and_then(|text| serde_json::from_str(&text).ok()),
            });
        }
        Ok(nodes)
    }

    pub(super) fn keep_shards(&mut self, owner: ServerId, keep_ms: u64) -> Result<Answer, Fail> {
        let mut shards: BTreeMap<u8, (u32, u64, i64)> = BTreeMap::new();
        for row in self.db.read(SHARDS_ALL, &[])? {
            let mut columns = Columns::of(row);
            let shard = u8::try_from(columns.int()?).map_err(|_| Error::Corrupt)?;
            shards.insert(shard, (columns.u32()?, columns.u64()?, columns.int()?));
        }
        let nodes = self.nodes()?;
        let alive = |node: &&Node| node.role == "control" && self.now - node.seen.0 <= ms(keep_ms);
        let mut sharers: BTreeSet<u32> = nodes.iter().filter(alive).map(|n| n.id.0).collect();
        sharers.insert(owner.0);
        let fair = usize::from(SHARDS).div_ceil(sharers.len());
        let until = self.now.saturating_add(ms(keep_ms));
        let held = |shard: &u8| {
            shards.get(shard).copied().filter(|(holder, _, end)| *holder != 0 && *end >= self.now)
        };
        let own: Vec<u8> =
            (0..SHARDS).filter(|s| held(s).is_some_and(|(holder, ..)| holder == owner.0)).collect();
        let free: Vec<u8> = (0..SHARDS).filter(|s| held(s).is_none()).collect();
        // Its own first, so that shards do not wander. What is above the fair share is given up: a newcomer finds it free.
        let mut mine: Vec<(u8, u64)> = Vec::new();
        for shard in own.iter().chain(&free).copied() {
            let epoch = shards.get(&shard).map_or(0, |(_, epoch, _)| *epoch);
            let (is_own, takes) = (own.contains(&shard), mine.len() < fair);
            if !takes && !is_own {
                continue;
            }
            let (to, epoch) = if takes { (owner.0, epoch + u64::from(!is_own)) } else { (0, epoch) };
            self.db.write(KEEP, vec![i64::from(shard).into(), to.into(), epoch.into(), until.into()])?;
            if takes {
                mine.push((shard, epoch));
            }
        }
        mine.sort_unstable();
        Ok(Answer::Shards(mine))
    }
}

fn ms(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}
