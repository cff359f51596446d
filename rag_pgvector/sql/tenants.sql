-- The fence of rag.documents. A multi-tenant collection's documents belong to a tenant and are seen only under its setting; a
-- single-tenant collection's belong to '', which is what an unset setting reads as.
ALTER TABLE rag.documents ENABLE ROW LEVEL SECURITY;
ALTER TABLE rag.documents FORCE ROW LEVEL SECURITY;
CREATE POLICY base ON rag.documents AS PERMISSIVE FOR ALL TO PUBLIC USING (true) WITH CHECK (true);
CREATE POLICY tenant ON rag.documents AS RESTRICTIVE FOR ALL TO PUBLIC
    USING (tenant_id = coalesce(current_setting('rag.tenant_id', true), ''))
    WITH CHECK (tenant_id = coalesce(current_setting('rag.tenant_id', true), ''));
CREATE POLICY scope ON rag.documents AS RESTRICTIVE FOR ALL TO PUBLIC
    USING (coalesce(current_setting('rag.scope', true), '') IN ('', scope))
    WITH CHECK (coalesce(current_setting('rag.scope', true), '') IN ('', scope));

-- What a key stands for, to one who holds it: its hash is looked up with the definer's rights, so that the application's
-- role can neither list the keys nor read another tenant's.
CREATE OR REPLACE FUNCTION rag.authenticate_key(hash bytea)
RETURNS TABLE (name text, tenant_id text, scope text, permissions text[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT k.name, k.tenant_id, k.scope, k.permissions FROM rag.api_keys k
    WHERE k.key_hash = hash AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
$$;
REVOKE ALL ON FUNCTION rag.authenticate_key(bytea) FROM PUBLIC;
REVOKE ALL ON rag.api_keys FROM PUBLIC;
