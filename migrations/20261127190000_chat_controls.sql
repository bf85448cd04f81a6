-- How the model is asked to answer in a conversation; null where nobody set anything.
alter table conversation add column controls text check (json_valid(controls));
-- Tools that the model called, as it wrote them.
alter table message add column calls text check (json_valid(calls));
