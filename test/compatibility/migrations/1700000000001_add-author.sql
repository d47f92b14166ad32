-- Up Migration
alter table book add author text;

-- Down Migration
alter table book drop author;
