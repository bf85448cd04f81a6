-- Conversations, their messages, and the images in them.
create table conversation (
  id text primary key,
  title text not null,
  created_at integer not null,
  updated_at integer not null
) strict;

create index conversation_by_change on conversation (updated_at desc);

create table message (
  id text primary key,
  conversation_id text not null references conversation (id) on delete cascade,
  position integer not null,
  role text not null check (role in ('system', 'user', 'assistant')),
  text text not null,
  reasoning text not null,
  at integer not null,
  stats text check (json_valid(stats)),
  stopped integer not null check (stopped in (0, 1)),
  unique (conversation_id, position)
) strict;

-- Bounded and re-encoded before they come here, so a megabyte each at the most.
create table image (
  id text primary key,
  mime text not null,
  width integer not null,
  height integer not null,
  bytes blob not null
) strict;

create table message_image (
  message_id text not null references message (id) on delete cascade,
  position integer not null,
  image_id text not null references image (id),
  primary key (message_id, position)
) strict, without rowid;

create index message_image_by_image on message_image (image_id);
