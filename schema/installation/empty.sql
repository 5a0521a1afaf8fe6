-- Drops whatever is in the schema public, but for what belongs to extensions: those may need a superuser to come back.
DO $empty$
DECLARE thing record;
BEGIN
  FOR thing IN
    SELECT c.oid, c.relkind FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
  LOOP
    IF EXISTS (SELECT FROM pg_class WHERE oid = thing.oid) THEN -- else it went with another
      EXECUTE format('DROP %s %s CASCADE', CASE thing.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW'
        WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END, thing.oid::regclass);
    END IF;
  END LOOP;
  FOR thing IN
    SELECT c.oid FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'S'
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
  LOOP
    EXECUTE format('DROP SEQUENCE %s CASCADE', thing.oid::regclass);
  END LOOP;
  FOR thing IN
    SELECT p.oid FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
  LOOP
    IF EXISTS (SELECT FROM pg_proc WHERE oid = thing.oid) THEN
      EXECUTE format('DROP ROUTINE %s CASCADE', thing.oid::regprocedure);
    END IF;
  END LOOP;
  FOR thing IN
    SELECT 'CONFIGURATION' AS kind, c.cfgname AS name FROM pg_ts_config c WHERE c.cfgnamespace = 'public'::regnamespace
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_ts_config'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    UNION ALL
    SELECT 'DICTIONARY', t.dictname FROM pg_ts_dict t WHERE t.dictnamespace = 'public'::regnamespace
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_ts_dict'::regclass AND d.objid = t.oid AND d.deptype = 'e')
  LOOP
    EXECUTE format('DROP TEXT SEARCH %s public.%I CASCADE', thing.kind, thing.name);
  END LOOP;
  FOR thing IN
    SELECT t.oid FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
    WHERE t.typnamespace = 'public'::regnamespace AND (t.typtype IN ('e', 'd') OR c.relkind = 'c')
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e')
  LOOP
    EXECUTE format('DROP TYPE %s CASCADE', thing.oid::regtype);
  END LOOP;
END $empty$;
