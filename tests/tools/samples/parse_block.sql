-- parse says syntax error
DO $$
BEGIN
    PERFORM 1 FROM FROM t;
END
$$;
