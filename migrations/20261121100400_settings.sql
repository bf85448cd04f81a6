-- Choices that outlive the app, and half-filled wizards, so that leaving one discards nothing.
create table setting (
  key text primary key,
  value text not null check (json_valid(value))
) strict, without rowid;

create table draft (
  name text primary key,
  value text not null check (json_valid(value)),
  saved_at integer not null
) strict, without rowid;
