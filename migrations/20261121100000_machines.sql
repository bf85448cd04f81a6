-- The machines a person added. Secrets are not here: passwords live in memory, our SSH key in a file of its own.
create table machine (
  id text primary key,
  name text not null unique check (name <> ''),
  address text not null,
  port integer not null check (port between 1 and 65535),
  user text not null,
  -- The pinned key as one line of OpenSSH. Rehearsed machines have none.
  host_key text check (host_key is not null or simulated = 1),
  -- `/etc/machine-id`, once the machine was asked: what tells it from every other, whatever its address.
  machine_id text unique check (machine_id <> ''),
  facts text check (json_valid(facts)),
  position integer not null,
  added_at integer not null,
  simulated integer not null check (simulated in (0, 1))
) strict;

-- A changed key is never taken over in place. Who knows why it changed removes the machine and adds it again.
create trigger machine_host_key_is_pinned before update of host_key on machine
when old.host_key is not new.host_key
begin select raise(abort, 'the host key is pinned'); end;
