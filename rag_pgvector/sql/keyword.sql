-- Indexed rows that are gone, or whose content is another now, leave a tombstone: their postings count no more.
-- Arguments: the table of tombstones, and the column (or '') that holds the scope.
CREATE OR REPLACE FUNCTION rag.bury_chunks() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        -- Looked at first: who only stores embeddings may not write here, and most statements update nothing.
        -- NOT IN is a hashed subplan; NOT EXISTS was a nested loop, 18 s for 20,000 rows whose metadata changed.
        PERFORM FROM rows_before o WHERE o.keyword_length IS NOT NULL
            AND o.seq NOT IN (SELECT n.seq FROM rows_after n) LIMIT 1;
        IF FOUND THEN
            EXECUTE format(
                'INSERT INTO rag.%I (tenant_id, scope, seq, length) SELECT tenant_id, %s, seq, keyword_length '
                'FROM rows_before o WHERE keyword_length IS NOT NULL '
                'AND o.seq NOT IN (SELECT n.seq FROM rows_after n)',
                TG_ARGV[0], CASE TG_ARGV[1] WHEN 'scope' THEN 'scope' ELSE '''''' END);
        END IF;
    ELSE
        PERFORM FROM rows_before o WHERE o.keyword_length IS NOT NULL LIMIT 1;
        IF FOUND THEN
            EXECUTE format(
                'INSERT INTO rag.%I (tenant_id, scope, seq, length) SELECT tenant_id, %s, seq, keyword_length '
                'FROM rows_before WHERE keyword_length IS NOT NULL',
                TG_ARGV[0], CASE TG_ARGV[1] WHEN 'scope' THEN 'scope' ELSE '''''' END);
        END IF;
    END IF;
    RETURN NULL;
END
$$;

-- An emptied collection has no postings. Arguments: the tables that hold them.
CREATE OR REPLACE FUNCTION rag.truncate_postings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('TRUNCATE rag.%I, rag.%I, rag.%I, rag.%I', TG_ARGV[0], TG_ARGV[1], TG_ARGV[2], TG_ARGV[3]);
    RETURN NULL;
END
$$;
