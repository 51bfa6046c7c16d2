-- parse says syntax error
SELECT 1 FRM t;
