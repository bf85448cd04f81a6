-- The folder of the models that a person chose for a machine; null leaves it to the machine's environment.
alter table machine add column cache text check (cache like '/%');
