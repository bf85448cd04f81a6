-- What is to be known of a measurement beside its figures: notes, an early end, how it was measured. Members that a
-- version does not know are left alone by it, and those that an older one did not write are missing.
alter table bench_result add column details text not null default '{}' check (json_valid(details));
