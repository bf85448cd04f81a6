-- Every word that was said, for the search. The texts themselves stay in `message`.
create virtual table message_search using fts5 (
  text,
  content = 'message',
  content_rowid = 'rowid',
  tokenize = 'unicode61 remove_diacritics 2',
  -- A word is found from its first letter on.
  prefix = '1 2 3'
);

-- What is deleted is not found in the file either.
insert into message_search (message_search, rank) values ('secure-delete', 1);
insert into message_search (message_search) values ('rebuild');

create trigger message_search_insert after insert on message begin
  insert into message_search (rowid, text) values (new.rowid, new.text);
end;

create trigger message_search_update after update of text on message when old.text is not new.text begin
  insert into message_search (message_search, rowid, text) values ('delete', old.rowid, old.text);
  insert into message_search (rowid, text) values (new.rowid, new.text);
end;

create trigger message_search_delete after delete on message begin
  insert into message_search (message_search, rowid, text) values ('delete', old.rowid, old.text);
end;
