-- sqlfluff says CP01
select 1;
