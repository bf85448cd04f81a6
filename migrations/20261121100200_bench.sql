-- Measurements. They outlive the run and the machines they were made on, so they point at neither.
create table bench_result (
  id text primary key,
  at integer not null,
  label text not null,
  model text not null,
  prompt_tokens integer not null,
  generate_tokens integer not null,
  runs integer not null,
  latency_s real not null,
  pp_mean real not null,
  pp_std real not null,
  tg_mean real not null,
  tg_std real not null,
  ttft_mean real not null,
  ttft_std real not null,
  -- Every repeat, from which the means were made.
  samples text not null check (json_valid(samples)),
  -- The values behind each mean; a repeat without a figure is missing there.
  spreads text not null check (json_valid(spreads)),
  acceptance text check (json_valid(acceptance)),
  circumstances text not null check (json_valid(circumstances)),
  run_id text,
  simulated integer not null check (simulated in (0, 1))
) strict;

create index bench_result_by_time on bench_result (at desc);
