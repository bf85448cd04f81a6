-- What the download of a run is held to now, where that is other than what was planned. Rewritten in place: what
-- was asked for in between stands in the step's log.
create table run_download (
  run_id text primary key references run (id),
  body text not null check (json_valid(body))
) strict, without rowid;
