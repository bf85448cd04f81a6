//! The machines a person added.

use tandem_domain::ids::MachineId;
use tandem_domain::machine::Facts;

use super::error::Taken;
use super::{Store, StoreError, doing, says};

/// A machine as it is kept. Holds no secret.
#[derive(Debug, Clone, PartialEq)]
pub struct SavedMachine {
    /// Its identity here.
    pub id: MachineId,
    /// The name people know it by; no two machines share one.
    pub name: String,
    /// Host name or IP address.
    pub address: String,
    /// SSH port.
    pub port: u16,
    /// The user there.
    pub user: String,
    /// The pinned host key as one OpenSSH line; `None` only for rehearsed machines.
    pub host_key: Option<String>,
    /// What was seen last.
    pub facts: Option<Facts>,
    /// The folder of the models that the person chose, absolute; `None` leaves it to the machine's environment.
    pub cache: Option<String>,
    /// Whether it is a rehearsed one.
    pub simulated: bool,
    /// When it was added, ms since 1970.
    pub added_at: i64,
}

/// What may change about a machine. The host key may not: remove the machine and add it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineChange {
    /// See [`SavedMachine::name`].
    pub name: String,
    /// See [`SavedMachine::address`].
    pub address: String,
    /// See [`SavedMachine::port`].
    pub port: u16,
    /// See [`SavedMachine::user`].
    pub user: String,
    /// See [`SavedMachine::cache`].
    pub cache: Option<String>,
}

#[derive(sqlx::FromRow)]
struct MachineRow {
    id: String,
    name: String,
    address: String,
    port: u16,
    user: String,
    host_key: Option<String>,
    facts: Option<String>,
    cache: Option<String>,
    simulated: bool,
    added_at: i64,
}

impl TryFrom<MachineRow> for SavedMachine {
    type Error = StoreError;

    fn try_from(row: MachineRow) -> Result<Self, StoreError> {
        let facts = row
            .facts
            .map(|text| serde_json::from_str(&text))
            .transpose()
            .map_err(says("machine", "facts", &row.id))?;
        Ok(Self {
            id: row.id.into(),
            name: row.name,
            address: row.address,
            port: row.port,
            user: row.user,
            host_key: row.host_key,
            facts,
            cache: row.cache,
            simulated: row.simulated,
            added_at: row.added_at,
        })
    }
}

/// `/etc/machine-id` by the facts; an empty one tells nothing.
fn machine_id(facts: Option<&Facts>) -> Option<&str> {
    facts
        .map(|f| f.machine_id.as_str())
        .filter(|id| !id.is_empty())
}

/// Tells the name, the machine and the id apart where something is there already.
fn taken(what: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |source| {
        let Some(error) = source
            .as_database_error()
            .filter(|e| e.is_unique_violation())
        else {
            return doing(what)(source);
        };
        StoreError::Taken {
            what: match error.message() {
                m if m.contains("machine.name") => Taken::Name,
                m if m.contains("machine.machine_id") => Taken::Machine,
                _ => Taken::Id,
            },
        }
    }
}

impl Store {
    /// All machines, in the order people gave them; the first is the head.
    pub async fn machines(&self) -> Result<Vec<SavedMachine>, StoreError> {
        let rows: Vec<MachineRow> = sqlx::query_as(
            "select id, name, address, port, user, host_key, facts, cache, simulated, added_at
             from machine order by position, added_at, id",
        )
        .fetch_all(&self.readers)
        .await
        .map_err(doing("listing the machines"))?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// One machine.
    pub async fn machine(&self, id: &MachineId) -> Result<Option<SavedMachine>, StoreError> {
        let row: Option<MachineRow> = sqlx::query_as(
            "select id, name, address, port, user, host_key, facts, cache, simulated, added_at
             from machine where id = ?1",
        )
        .bind(&id.0)
        .fetch_optional(&self.readers)
        .await
        .map_err(doing("reading a machine"))?;
        row.map(TryInto::try_into).transpose()
    }

    /// Adds a machine behind the others. A name in use, or the same machine again, is
    /// [`StoreError::Taken`].
    pub async fn add_machine(&self, machine: &SavedMachine) -> Result<(), StoreError> {
        let facts = machine
            .facts
            .as_ref()
            .map(serde_json::to_string)
            .transpose()
            .map_err(says("machine", "facts", &machine.id.0))?;
        const DOING: &str = "adding a machine";
        let mut tx = self.write(DOING).await?;
        sqlx::query(
            "insert into machine
               (id, name, address, port, user, host_key, machine_id, facts, position, added_at, simulated, cache)
             select ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, coalesce(max(position), 0) + 1, ?9, ?10, ?11 from machine",
        )
        .bind(&machine.id.0)
        .bind(&machine.name)
        .bind(&machine.address)
        .bind(machine.port)
        .bind(&machine.user)
        .bind(&machine.host_key)
        .bind(machine_id(machine.facts.as_ref()))
        .bind(facts)
        .bind(machine.added_at)
        .bind(machine.simulated)
        .bind(&machine.cache)
        .execute(&mut *tx)
        .await
        .map_err(taken(DOING))?;
        sqlx::query("delete from removed_machine where id = ?1")
            .bind(&machine.id.0)
            .execute(&mut *tx)
            .await
            .map_err(doing(DOING))?;
        tx.commit().await.map_err(doing(DOING))
    }

    /// The machines that were removed and whose facts are known, the latest first.
    pub async fn removed_machines(&self) -> Result<Vec<(MachineId, Facts)>, StoreError> {
        let rows: Vec<(String, String)> =
            sqlx::query_as("select id, facts from removed_machine order by removed_at desc, id")
                .fetch_all(&self.readers)
                .await
                .map_err(doing("listing the removed machines"))?;
        let read = |(id, facts): (String, String)| {
            let facts =
                serde_json::from_str(&facts).map_err(says("removed_machine", "facts", &id))?;
            Ok((id.into(), facts))
        };
        rows.into_iter().map(read).collect()
    }

    /// Changes how a machine is called and reached; `false` if there is none.
    pub async fn change_machine(
        &self,
        id: &MachineId,
        change: &MachineChange,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "update machine set name = ?2, address = ?3, port = ?4, user = ?5, cache = ?6 where id = ?1",
        )
        .bind(&id.0)
        .bind(&change.name)
        .bind(&change.address)
        .bind(change.port)
        .bind(&change.user)
        .bind(&change.cache)
        .execute(&self.writer)
        .await
        .map_err(taken("changing a machine"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Keeps what was seen on a machine; `false` if there is none.
    pub async fn keep_facts(&self, id: &MachineId, facts: &Facts) -> Result<bool, StoreError> {
        let text = serde_json::to_string(facts).map_err(says("machine", "facts", &id.0))?;
        // A machine-id once seen is not forgotten because a later look failed to read it.
        let done = sqlx::query(
            "update machine set facts = ?2, machine_id = coalesce(?3, machine_id) where id = ?1",
        )
        .bind(&id.0)
        .bind(text)
        .bind(machine_id(Some(facts)))
        .execute(&self.writer)
        .await
        .map_err(taken("keeping what was seen on a machine"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Puts the machines in this order. Those not named keep their places behind.
    pub async fn order_machines(&self, ids: &[MachineId]) -> Result<(), StoreError> {
        const DOING: &str = "ordering the machines";
        let mut tx = self.write(DOING).await?;
        sqlx::query("update machine set position = position + ?1")
            .bind(ids.len() as i64)
            .execute(&mut *tx)
            .await
            .map_err(doing(DOING))?;
        for (position, id) in ids.iter().enumerate() {
            sqlx::query("update machine set position = ?2 where id = ?1")
                .bind(&id.0)
                .bind(position as i64)
                .execute(&mut *tx)
                .await
                .map_err(doing(DOING))?;
        }
        tx.commit().await.map_err(doing(DOING))
    }

    /// Forgets how a machine is reached; `false` if there was none. Its runs and measurements stay, and what it
    /// is known by: see [`Store::removed_machines`].
    pub async fn remove_machine(&self, id: &MachineId, now: i64) -> Result<bool, StoreError> {
        const DOING: &str = "removing a machine";
        let mut tx = self.write(DOING).await?;
        sqlx::query(
            "insert or replace into removed_machine (id, facts, removed_at)
             select id,
               case when machine_id is null then facts
                 else json_set(facts, '$.machine_id', machine_id) end,
               ?2
             from machine where id = ?1 and facts is not null",
        )
        .bind(&id.0)
        .bind(now)
        .execute(&mut *tx)
        .await
        .map_err(doing(DOING))?;
        let done = sqlx::query("delete from machine where id = ?1")
            .bind(&id.0)
            .execute(&mut *tx)
            .await
            .map_err(doing(DOING))?;
        tx.commit().await.map_err(doing(DOING))?;
        Ok(done.rows_affected() == 1)
    }
}
