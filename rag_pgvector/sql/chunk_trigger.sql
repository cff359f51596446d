-- Keeps a chunk's derived columns true whoever writes the row, psql included.
-- content_hash follows content; seq is new at every change of content; an embedding made of the old content is dropped
-- unless the same statement brings a new one (it or its embedding_hash then differs). An embedding that a plain UPDATE
-- brings alone counts as given by hand; this package says itself what its own are made of, and sets updated_at.
-- keyword_length says that postings for this seq are stored. Who writes them brings both columns; anybody else leaves the
-- row unindexed (NULL) until 'index build' takes it in. Postings lie under their tenant and scope, so that a row which
-- is given to another is unindexed, too, unless its postings are moved along (rag.moving, set by rag_pgvector.tenants).
-- An argument says that the table has a column scope.
CREATE OR REPLACE FUNCTION rag.before_chunk_write() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    renewed boolean := false;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF NEW.seq = OLD.seq THEN
            IF NEW.content <> OLD.content THEN
                renewed := true;
            ELSIF NEW.tenant_id <> OLD.tenant_id THEN
                renewed := coalesce(current_setting('rag.moving', true), '') <> 'on';
            ELSIF TG_NARGS > 0 THEN
                renewed := NEW.scope <> OLD.scope;
            END IF;
            IF renewed THEN
                NEW.seq := nextval(pg_get_serial_sequence(format('%I.%I', TG_TABLE_SCHEMA, TG_TABLE_NAME), 'seq'));
                NEW.keyword_length := NULL;
            END IF;
        END IF;
        IF NEW.content = OLD.content THEN
            IF NEW.updated_at = OLD.updated_at AND NEW.embedding IS DISTINCT FROM OLD.embedding
                AND NEW.embedding_hash IS NOT DISTINCT FROM OLD.embedding_hash THEN
                NEW.updated_at := now();
                NEW.embedding_hash := CASE WHEN NEW.embedding IS NOT NULL
                                           THEN sha256(convert_to(chr(1) || NEW.content, 'UTF8')) END;
            END IF;
            RETURN NEW;
        END IF;
        NEW.updated_at := now();
        IF NEW.embedding_hash IS NOT DISTINCT FROM OLD.embedding_hash THEN
            IF NEW.embedding IS NULL OR NEW.embedding IS NOT DISTINCT FROM OLD.embedding THEN
                NEW.embedding := NULL;
                NEW.embedding_hash := NULL;
            ELSE -- given by hand, as in rag_pgvector.write.embedding_hash
                NEW.embedding_hash := sha256(convert_to(chr(1) || NEW.content, 'UTF8'));
            END IF;
        END IF;
    END IF;
    NEW.content_hash := sha256(convert_to(NEW.content, 'UTF8'));
    RETURN NEW;
END
$$;
