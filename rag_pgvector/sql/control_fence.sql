-- The fence of a control table whose rows are a tenant's, which is that of rag.documents (tenants.sql).
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
CREATE POLICY base ON {table} AS PERMISSIVE FOR ALL TO PUBLIC USING (true) WITH CHECK (true);
CREATE POLICY tenant ON {table} AS RESTRICTIVE FOR ALL TO PUBLIC
    USING (tenant_id = coalesce(current_setting('rag.tenant_id', true), ''))
    WITH CHECK (tenant_id = coalesce(current_setting('rag.tenant_id', true), ''));
CREATE POLICY scope ON {table} AS RESTRICTIVE FOR ALL TO PUBLIC
    USING (coalesce(current_setting('rag.scope', true), '') IN ('', scope))
    WITH CHECK (coalesce(current_setting('rag.scope', true), '') IN ('', scope));

-- Whoever may write the documents may write these, too.
DO $$
DECLARE writer oid;
BEGIN
    FOR writer IN
        SELECT DISTINCT a.grantee FROM pg_class c, aclexplode(c.relacl) a
        WHERE c.oid = to_regclass('rag.documents') AND a.privilege_type = 'INSERT' AND a.grantee NOT IN (0, c.relowner)
    LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO %I', {named}, pg_get_userbyid(writer));
    END LOOP;
END
$$;
