-- Every role's planner reads what searching costs on this machine; it says nothing of anybody's rows.
GRANT SELECT ON rag.search_costs TO PUBLIC;

-- The fence of chunks made before: as fence.py writes it now, with the settings in a SELECT of their own, which is run once a statement.
DO $$
DECLARE
    relation regclass;
BEGIN
    FOR relation IN SELECT to_regclass(format('rag.%I', table_name)) FROM rag.collections WHERE tenancy = 'multi' LOOP
        EXECUTE format($policy$ALTER POLICY tenant ON %1$s
            USING (tenant_id = (SELECT nullif(current_setting('rag.tenant_id', true), '')))
            WITH CHECK (tenant_id = (SELECT nullif(current_setting('rag.tenant_id', true), '')));
        ALTER POLICY scope ON %1$s
            USING ((SELECT coalesce(current_setting('rag.scope', true), '')) IN ('', scope))
            WITH CHECK ((SELECT coalesce(current_setting('rag.scope', true), '')) IN ('', scope))$policy$, relation);
    END LOOP;
END
$$;
