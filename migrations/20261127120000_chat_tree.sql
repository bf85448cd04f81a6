-- Messages are a tree: an answer that was asked for again and a question that was edited are versions of one another.
-- Not a foreign key: a conversation is deleted as a whole, however long its ways are.
alter table message add column parent_id text;
-- Of the versions in one place one is shown.
alter table message add column shown integer not null default 1 check (shown in (0, 1));
-- What a conversation shows is one way from its first message to its last; positions only grow along it.
alter table message add column on_path integer not null default 1 check (on_path in (0, 1));
-- What was deleted stays for as long as it can be brought back.
alter table message add column deleted_at integer;

create index message_by_parent on message (parent_id, conversation_id, position);

update message set parent_id = (
  select before.id from message as before
  where before.conversation_id = message.conversation_id and before.position < message.position
  order by before.position desc limit 1
);

alter table conversation add column pinned integer not null default 0 check (pinned in (0, 1));
alter table conversation add column archived integer not null default 0 check (archived in (0, 1));
alter table conversation add column deleted_at integer;
