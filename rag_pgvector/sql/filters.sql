-- Whether metadata satisfies a filter in the operator language of docs/filters.md. The same semantics as the SQL that
-- rag_pgvector.filters compiles; a malformed filter is an error, never "no filter".
CREATE OR REPLACE FUNCTION rag.metadata_matches(metadata jsonb, filter jsonb, depth integer DEFAULT 0) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    key text;
    operand jsonb;
    item jsonb;
    value jsonb;
    step text;
    part boolean;
    logical boolean;
    matched boolean := true;
BEGIN
    IF depth > 100 THEN
        RAISE EXCEPTION 'the filter is nested deeper than 100 levels' USING ERRCODE = '22023';
    END IF;
    IF jsonb_typeof(filter) IS DISTINCT FROM 'object' OR (filter = '{}' AND depth > 0) THEN
        RAISE EXCEPTION '% stands where a condition such as {"year": 2020} belongs', left(filter::text, 80)
            USING ERRCODE = '22023';
    END IF;
    FOR key, operand IN SELECT e.key, e.value FROM jsonb_each(filter) e LOOP
        IF lower(key) = '$not' AND jsonb_typeof(operand) <> 'array' THEN
            part := NOT rag.metadata_matches(metadata, operand, depth + 1);
        ELSIF lower(key) IN ('$and', '$or', '$not') THEN
            IF jsonb_typeof(operand) <> 'array' OR operand = '[]' THEN
                RAISE EXCEPTION '% takes a list of conditions that is not empty', key USING ERRCODE = '22023';
            END IF;
            part := lower(key) <> '$or';
            FOR item IN SELECT a.value FROM jsonb_array_elements(operand) a LOOP
                logical := rag.metadata_matches(metadata, item, depth + 1);
                part := CASE lower(key) WHEN '$and' THEN part AND logical WHEN '$or' THEN part OR logical
                        ELSE part AND NOT logical END;
            END LOOP;
        ELSIF key LIKE '$%' THEN
            RAISE EXCEPTION 'unknown operator % where a field belongs', left(key, 80) USING ERRCODE = '22023';
        ELSE
            IF '' = ANY (string_to_array(key, '.')) OR key = '' THEN
                RAISE EXCEPTION 'the key "%" has an empty part', left(key, 80) USING ERRCODE = '22023';
            END IF;
            value := metadata;
            FOREACH step IN ARRAY string_to_array(key, '.') LOOP
                value := value -> step;
            END LOOP;
            part := rag.value_matches(value, operand, depth + 1);
        END IF;
        matched := matched AND part;
    END LOOP;
    RETURN matched;
END
$$;

-- Whether one value (NULL: missing) satisfies a condition: a bare value, or operators joined by AND.
CREATE OR REPLACE FUNCTION rag.value_matches(value jsonb, condition jsonb, depth integer DEFAULT 0) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    operator text;
    operand jsonb;
    part boolean;
    matched boolean := true;
    kind text := coalesce(jsonb_typeof(value), 'missing');
    given text;
    bare text;
BEGIN
    IF depth > 100 THEN
        RAISE EXCEPTION 'the filter is nested deeper than 100 levels' USING ERRCODE = '22023';
    END IF;
    IF jsonb_typeof(condition) <> 'object' THEN
        RETURN coalesce(value, 'null') = condition AND (condition = 'null' OR kind <> 'missing');
    END IF;
    IF condition = '{}' THEN
        RAISE EXCEPTION 'an empty {} is no condition' USING ERRCODE = '22023';
    END IF;
    FOR operator, operand IN SELECT e.key, e.value FROM jsonb_each(condition) e LOOP
        given := jsonb_typeof(operand);
        bare := operand #>> '{}';
        CASE
            WHEN operator = '$not' THEN
                part := NOT rag.value_matches(value, operand, depth + 1);
            WHEN operator IN ('$eq', '$ne') THEN
                part := coalesce(value, 'null') = operand AND (operand = 'null' OR kind <> 'missing');
                part := part <> (operator = '$ne');
            WHEN operator IN ('$gt', '$gte', '$lt', '$lte') THEN
                IF given NOT IN ('number', 'string') THEN
                    RAISE EXCEPTION '%: % has no order', operator, left(operand::text, 80) USING ERRCODE = '22023';
                END IF;
                part := kind = given AND CASE WHEN given = 'number' THEN
                        CASE operator WHEN '$gt' THEN value > operand WHEN '$gte' THEN value >= operand
                                      WHEN '$lt' THEN value < operand ELSE value <= operand END
                    ELSE
                        CASE operator WHEN '$gt' THEN (value #>> '{}') COLLATE "C" > bare
                                      WHEN '$gte' THEN (value #>> '{}') COLLATE "C" >= bare
                                      WHEN '$lt' THEN (value #>> '{}') COLLATE "C" < bare
                                      ELSE (value #>> '{}') COLLATE "C" <= bare END
                    END;
            WHEN operator IN ('$in', '$nin', '$any', '$all') THEN
                IF given <> 'array' OR EXISTS (SELECT FROM jsonb_array_elements(operand) AS a(item)
                                               WHERE jsonb_typeof(a.item) IN ('array', 'object')) THEN
                    RAISE EXCEPTION '% takes a list of single values, not %', operator, left(operand::text, 80)
                        USING ERRCODE = '22023';
                END IF;
                IF operator IN ('$in', '$nin') THEN
                    part := EXISTS (SELECT FROM jsonb_array_elements(operand) AS a(item)
                                    WHERE a.item = coalesce(value, 'null') AND (a.item = 'null' OR kind <> 'missing'));
                    part := part <> (operator = '$nin');
                ELSIF operator = '$any' THEN
                    part := kind = 'array' AND EXISTS (SELECT FROM jsonb_array_elements(operand) AS a(item) WHERE value @> a.item);
                ELSE
                    part := kind = 'array'
                        AND NOT EXISTS (SELECT FROM jsonb_array_elements(operand) AS a(item) WHERE NOT value @> a.item);
                END IF;
            WHEN operator = '$between' THEN
                IF given <> 'array' OR jsonb_array_length(operand) <> 2 THEN
                    RAISE EXCEPTION '$between takes a list of two values' USING ERRCODE = '22023';
                END IF;
                part := rag.value_matches(value, jsonb_build_object('$gte', operand -> 0), depth + 1);
                part := rag.value_matches(value, jsonb_build_object('$lte', operand -> 1), depth + 1) AND part;
            WHEN operator = '$exists' THEN
                IF given <> 'boolean' THEN
                    RAISE EXCEPTION '$exists takes true or false' USING ERRCODE = '22023';
                END IF;
                part := (kind <> 'missing') = operand::boolean;
            WHEN operator IN ('$like', '$ilike') THEN
                IF given <> 'string' THEN
                    RAISE EXCEPTION '% takes a text pattern', operator USING ERRCODE = '22023';
                END IF;
                IF (length(bare) - length(rtrim(bare, '\'))) % 2 = 1 THEN
                    RAISE EXCEPTION '%: the pattern ends in an escape', operator USING ERRCODE = '22023';
                END IF;
                part := kind = 'string' AND CASE operator WHEN '$like' THEN (value #>> '{}') LIKE bare
                                                          ELSE (value #>> '{}') ILIKE bare END;
            ELSE
                RAISE EXCEPTION 'unknown operator %', left(operator, 80) USING ERRCODE = '22023';
        END CASE;
        matched := matched AND part;
    END LOOP;
    RETURN matched;
END
$$;
