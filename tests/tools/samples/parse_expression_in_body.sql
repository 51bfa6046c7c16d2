-- parse says syntax error
CREATE FUNCTION pulsex.f() RETURNS boolean
LANGUAGE plpgsql SET search_path = ''
AS $$
DECLARE
    v_all boolean;
BEGIN
    v_all := 1 > > 2;
    RETURN v_all;
END
$$;
