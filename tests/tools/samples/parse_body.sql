-- parse says syntax error
CREATE FUNCTION pulsex.f() RETURNS void
LANGUAGE plpgsql SET search_path = ''
AS $$
BEGIN
    IF TRUE THEN
        RETURN;
END
$$;
