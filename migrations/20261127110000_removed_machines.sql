-- Machines that were removed, with what was seen of them: one that is added again takes its old id, and so its runs
-- can be resumed and undone.
create table removed_machine (
  id text primary key,
  facts text not null check (json_valid(facts)),
  removed_at integer not null
) strict;
