-- Recipes that a person imported or copied, as they were confirmed. A deleted one can be brought back until the next
-- start.
create table kept_recipe (
  id text primary key,
  body text not null check (json_valid(body)),
  added_at integer not null,
  deleted_at integer
) strict, without rowid;
