-- Up Migration
create table book (id int primary key, title text not null);

-- Down Migration
drop table book;
