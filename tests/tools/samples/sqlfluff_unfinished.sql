-- sqlfluff says PRS
SELECT FROM WHERE;
