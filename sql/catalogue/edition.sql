-- Which edition of features, plans and limits holds. What a meter remembers of its
-- limits is good only for the edition it was read from.
create table quota.catalogue (
  version bigint not null,
  constraint catalogue_pkey primary key (version)
);

comment on table quota.catalogue is
  'One row: counts the changes that apply_plans() has made to features, plans and limits.';

insert into quota.catalogue (version) values (1);

alter table quota.catalogue enable row level security;

create policy select_everyone on quota.catalogue
  for select to anon, authenticated, service_role using (true);

-- Withheld: every write (see features).
