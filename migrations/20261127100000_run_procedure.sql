-- A recipe is what is served; what a run carries out is a procedure.
alter table run rename column recipe to procedure;
alter table run rename column recipe_version to procedure_version;
