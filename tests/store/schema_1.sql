-- The tables of schema 1, as Permillion 0.1 made them.

CREATE TABLE charge (batch_id TEXT, file_number BIGINT, row_number BIGINT, "BilledCost" NUMERIC(38, 18),
  "EffectiveCost" NUMERIC(38, 18), "ListCost" NUMERIC(38, 18), "ContractedCost" NUMERIC(38, 18), "BillingCurrency"
  TEXT, "BillingPeriodStart" TIMESTAMP WITHOUT TIME ZONE, "BillingPeriodEnd" TIMESTAMP WITHOUT TIME ZONE,
  "ChargePeriodStart" TIMESTAMP WITHOUT TIME ZONE, "ChargePeriodEnd" TIMESTAMP WITHOUT TIME ZONE, "ChargeCategory"
  TEXT, "ChargeClass" TEXT, "ChargeDescription" TEXT, "ChargeFrequency" TEXT, "ProviderName" TEXT, "PublisherName"
  TEXT, "InvoiceIssuerName" TEXT, "InvoiceId" TEXT, "BillingAccountId" TEXT, "BillingAccountName" TEXT, "SubAccountId"
  TEXT, "SubAccountName" TEXT, "ServiceCategory" TEXT, "ServiceSubcategory" TEXT, "ServiceName" TEXT, "SkuId" TEXT,
  "SkuPriceId" TEXT, "SkuMeter" TEXT, "SkuPriceDetails" TEXT, "RegionId" TEXT, "ResourceId" TEXT, "ResourceName" TEXT,
  "ResourceType" TEXT, "PricingCategory" TEXT, "PricingQuantity" NUMERIC(38, 18), "PricingUnit" TEXT,
  "ConsumedQuantity" NUMERIC(38, 18), "ConsumedUnit" TEXT, "CommitmentDiscountId" TEXT, "CommitmentDiscountStatus"
  TEXT, "Tags" TEXT, extra TEXT);

CREATE TABLE engine_page (target_key TEXT, model_key TEXT, engine_key TEXT, scraped_at TIMESTAMP WITHOUT TIME ZONE,
  started_at TIMESTAMP WITHOUT TIME ZONE, page TEXT, is_sample BOOLEAN);

CREATE TABLE histogram_bounds (bounds_id TEXT, bounds TEXT);

CREATE TABLE import_batch (batch_id TEXT, segment_id TEXT, provider TEXT, billing_account TEXT, period_start TIMESTAMP
  WITHOUT TIME ZONE, period_end TIMESTAMP WITHOUT TIME ZONE, status TEXT, imported_at TIMESTAMP WITHOUT TIME ZONE,
  superseded_at TIMESTAMP WITHOUT TIME ZONE, superseded_by TEXT, file_names TEXT, format_key TEXT, digest TEXT,
  currency TEXT, rows_count BIGINT, "BilledCost" NUMERIC(38, 18), "EffectiveCost" NUMERIC(38, 18), "ListCost"
  NUMERIC(38, 18), "ContractedCost" NUMERIC(38, 18), is_sample BOOLEAN);

CREATE TABLE import_file (segment_id TEXT, file_number BIGINT, file_name TEXT, format_key TEXT, file_sha256 TEXT,
  bytes_count BIGINT, rows_count BIGINT, imported_at TIMESTAMP WITHOUT TIME ZONE, notes TEXT, receipt TEXT, is_sample
  BOOLEAN);

CREATE TABLE meta (key TEXT, value TEXT);

CREATE TABLE run_log (source_key TEXT, kind TEXT, target_key TEXT, started_at TIMESTAMP WITHOUT TIME ZONE, finished_at
  TIMESTAMP WITHOUT TIME ZONE, state TEXT, rows_count BIGINT, error TEXT, every_s DOUBLE PRECISION, is_sample
  BOOLEAN);

CREATE TABLE schema_version (version BIGINT, applied_at TIMESTAMP WITHOUT TIME ZONE);

CREATE TABLE usage_hour (bin_start TIMESTAMP WITHOUT TIME ZONE, target_key TEXT, model_key TEXT, is_sample BOOLEAN,
  samples_count BIGINT, observed_s DOUBLE PRECISION, gap_s DOUBLE PRECISION, coverage_s DOUBLE PRECISION, busy_s
  DOUBLE PRECISION, prompt_tokens BIGINT, cached_prompt_tokens BIGINT, generation_tokens BIGINT, preemptions_count
  BIGINT, requests_stop_count BIGINT, requests_length_count BIGINT, requests_abort_count BIGINT, requests_error_count
  BIGINT, prefix_queries_tokens BIGINT, prefix_hits_tokens BIGINT, steps_count BIGINT, queue_s DOUBLE PRECISION,
  prefill_s DOUBLE PRECISION, decode_s DOUBLE PRECISION, inference_s DOUBLE PRECISION, running_count DOUBLE PRECISION,
  waiting_count DOUBLE PRECISION, kv_usage_fraction DOUBLE PRECISION, kv_usage_max_fraction DOUBLE PRECISION,
  ttft_s_sum DOUBLE PRECISION, ttft_s_count BIGINT, ttft_s_bounds_id TEXT, ttft_s_bucket_00 BIGINT, ttft_s_bucket_01
  BIGINT, ttft_s_bucket_02 BIGINT, ttft_s_bucket_03 BIGINT, ttft_s_bucket_04 BIGINT, ttft_s_bucket_05 BIGINT,
  ttft_s_bucket_06 BIGINT, ttft_s_bucket_07 BIGINT, ttft_s_bucket_08 BIGINT, ttft_s_bucket_09 BIGINT, ttft_s_bucket_10
  BIGINT, ttft_s_bucket_11 BIGINT, ttft_s_bucket_12 BIGINT, ttft_s_bucket_13 BIGINT, ttft_s_bucket_14 BIGINT,
  ttft_s_bucket_15 BIGINT, ttft_s_bucket_16 BIGINT, ttft_s_bucket_17 BIGINT, ttft_s_bucket_18 BIGINT, ttft_s_bucket_19
  BIGINT, ttft_s_bucket_20 BIGINT, ttft_s_bucket_21 BIGINT, ttft_s_bucket_22 BIGINT, ttft_s_bucket_23 BIGINT,
  ttft_s_bucket_24 BIGINT, ttft_s_bucket_25 BIGINT, ttft_s_bucket_26 BIGINT, ttft_s_bucket_27 BIGINT, ttft_s_bucket_28
  BIGINT, ttft_s_bucket_29 BIGINT, ttft_s_bucket_30 BIGINT, ttft_s_bucket_31 BIGINT, tpot_s_sum DOUBLE PRECISION,
  tpot_s_count BIGINT, tpot_s_bounds_id TEXT, tpot_s_bucket_00 BIGINT, tpot_s_bucket_01 BIGINT, tpot_s_bucket_02
  BIGINT, tpot_s_bucket_03 BIGINT, tpot_s_bucket_04 BIGINT, tpot_s_bucket_05 BIGINT, tpot_s_bucket_06 BIGINT,
  tpot_s_bucket_07 BIGINT, tpot_s_bucket_08 BIGINT, tpot_s_bucket_09 BIGINT, tpot_s_bucket_10 BIGINT, tpot_s_bucket_11
  BIGINT, tpot_s_bucket_12 BIGINT, tpot_s_bucket_13 BIGINT, tpot_s_bucket_14 BIGINT, tpot_s_bucket_15 BIGINT,
  tpot_s_bucket_16 BIGINT, tpot_s_bucket_17 BIGINT, tpot_s_bucket_18 BIGINT, tpot_s_bucket_19 BIGINT, tpot_s_bucket_20
  BIGINT, tpot_s_bucket_21 BIGINT, tpot_s_bucket_22 BIGINT, tpot_s_bucket_23 BIGINT, tpot_s_bucket_24 BIGINT,
  tpot_s_bucket_25 BIGINT, tpot_s_bucket_26 BIGINT, tpot_s_bucket_27 BIGINT, tpot_s_bucket_28 BIGINT, tpot_s_bucket_29
  BIGINT, tpot_s_bucket_30 BIGINT, tpot_s_bucket_31 BIGINT);

CREATE TABLE usage_minute (bin_start TIMESTAMP WITHOUT TIME ZONE, target_key TEXT, model_key TEXT, is_sample BOOLEAN,
  samples_count BIGINT, observed_s DOUBLE PRECISION, gap_s DOUBLE PRECISION, coverage_s DOUBLE PRECISION, busy_s
  DOUBLE PRECISION, prompt_tokens BIGINT, cached_prompt_tokens BIGINT, generation_tokens BIGINT, preemptions_count
  BIGINT, requests_stop_count BIGINT, requests_length_count BIGINT, requests_abort_count BIGINT, requests_error_count
  BIGINT, prefix_queries_tokens BIGINT, prefix_hits_tokens BIGINT, steps_count BIGINT, queue_s DOUBLE PRECISION,
  prefill_s DOUBLE PRECISION, decode_s DOUBLE PRECISION, inference_s DOUBLE PRECISION, running_count DOUBLE PRECISION,
  waiting_count DOUBLE PRECISION, kv_usage_fraction DOUBLE PRECISION, kv_usage_max_fraction DOUBLE PRECISION,
  ttft_s_sum DOUBLE PRECISION, ttft_s_count BIGINT, ttft_s_bounds_id TEXT, ttft_s_bucket_00 BIGINT, ttft_s_bucket_01
  BIGINT, ttft_s_bucket_02 BIGINT, ttft_s_bucket_03 BIGINT, ttft_s_bucket_04 BIGINT, ttft_s_bucket_05 BIGINT,
  ttft_s_bucket_06 BIGINT, ttft_s_bucket_07 BIGINT, ttft_s_bucket_08 BIGINT, ttft_s_bucket_09 BIGINT, ttft_s_bucket_10
  BIGINT, ttft_s_bucket_11 BIGINT, ttft_s_bucket_12 BIGINT, ttft_s_bucket_13 BIGINT, ttft_s_bucket_14 BIGINT,
  ttft_s_bucket_15 BIGINT, ttft_s_bucket_16 BIGINT, ttft_s_bucket_17 BIGINT, ttft_s_bucket_18 BIGINT, ttft_s_bucket_19
  BIGINT, ttft_s_bucket_20 BIGINT, ttft_s_bucket_21 BIGINT, ttft_s_bucket_22 BIGINT, ttft_s_bucket_23 BIGINT,
  ttft_s_bucket_24 BIGINT, ttft_s_bucket_25 BIGINT, ttft_s_bucket_26 BIGINT, ttft_s_bucket_27 BIGINT, ttft_s_bucket_28
  BIGINT, ttft_s_bucket_29 BIGINT, ttft_s_bucket_30 BIGINT, ttft_s_bucket_31 BIGINT, tpot_s_sum DOUBLE PRECISION,
  tpot_s_count BIGINT, tpot_s_bounds_id TEXT, tpot_s_bucket_00 BIGINT, tpot_s_bucket_01 BIGINT, tpot_s_bucket_02
  BIGINT, tpot_s_bucket_03 BIGINT, tpot_s_bucket_04 BIGINT, tpot_s_bucket_05 BIGINT, tpot_s_bucket_06 BIGINT,
  tpot_s_bucket_07 BIGINT, tpot_s_bucket_08 BIGINT, tpot_s_bucket_09 BIGINT, tpot_s_bucket_10 BIGINT, tpot_s_bucket_11
  BIGINT, tpot_s_bucket_12 BIGINT, tpot_s_bucket_13 BIGINT, tpot_s_bucket_14 BIGINT, tpot_s_bucket_15 BIGINT,
  tpot_s_bucket_16 BIGINT, tpot_s_bucket_17 BIGINT, tpot_s_bucket_18 BIGINT, tpot_s_bucket_19 BIGINT, tpot_s_bucket_20
  BIGINT, tpot_s_bucket_21 BIGINT, tpot_s_bucket_22 BIGINT, tpot_s_bucket_23 BIGINT, tpot_s_bucket_24 BIGINT,
  tpot_s_bucket_25 BIGINT, tpot_s_bucket_26 BIGINT, tpot_s_bucket_27 BIGINT, tpot_s_bucket_28 BIGINT, tpot_s_bucket_29
  BIGINT, tpot_s_bucket_30 BIGINT, tpot_s_bucket_31 BIGINT);

CREATE TABLE usage_sample (target_key TEXT, model_key TEXT, engine_key TEXT, scraped_at TIMESTAMP WITHOUT TIME ZONE,
  interval_s DOUBLE PRECISION, state TEXT, is_sample BOOLEAN, prompt_tokens BIGINT, cached_prompt_tokens BIGINT,
  generation_tokens BIGINT, preemptions_count BIGINT, requests_stop_count BIGINT, requests_length_count BIGINT,
  requests_abort_count BIGINT, requests_error_count BIGINT, prefix_queries_tokens BIGINT, prefix_hits_tokens BIGINT,
  steps_count BIGINT, queue_s DOUBLE PRECISION, prefill_s DOUBLE PRECISION, decode_s DOUBLE PRECISION, inference_s
  DOUBLE PRECISION, running_count DOUBLE PRECISION, waiting_count DOUBLE PRECISION, kv_usage_fraction DOUBLE
  PRECISION, ttft_s_sum DOUBLE PRECISION, ttft_s_count BIGINT, ttft_s_bounds_id TEXT, ttft_s_bucket_00 BIGINT,
  ttft_s_bucket_01 BIGINT, ttft_s_bucket_02 BIGINT, ttft_s_bucket_03 BIGINT, ttft_s_bucket_04 BIGINT, ttft_s_bucket_05
  BIGINT, ttft_s_bucket_06 BIGINT, ttft_s_bucket_07 BIGINT, ttft_s_bucket_08 BIGINT, ttft_s_bucket_09 BIGINT,
  ttft_s_bucket_10 BIGINT, ttft_s_bucket_11 BIGINT, ttft_s_bucket_12 BIGINT, ttft_s_bucket_13 BIGINT, ttft_s_bucket_14
  BIGINT, ttft_s_bucket_15 BIGINT, ttft_s_bucket_16 BIGINT, ttft_s_bucket_17 BIGINT, ttft_s_bucket_18 BIGINT,
  ttft_s_bucket_19 BIGINT, ttft_s_bucket_20 BIGINT, ttft_s_bucket_21 BIGINT, ttft_s_bucket_22 BIGINT, ttft_s_bucket_23
  BIGINT, ttft_s_bucket_24 BIGINT, ttft_s_bucket_25 BIGINT, ttft_s_bucket_26 BIGINT, ttft_s_bucket_27 BIGINT,
  ttft_s_bucket_28 BIGINT, ttft_s_bucket_29 BIGINT, ttft_s_bucket_30 BIGINT, ttft_s_bucket_31 BIGINT, tpot_s_sum
  DOUBLE PRECISION, tpot_s_count BIGINT, tpot_s_bounds_id TEXT, tpot_s_bucket_00 BIGINT, tpot_s_bucket_01 BIGINT,
  tpot_s_bucket_02 BIGINT, tpot_s_bucket_03 BIGINT, tpot_s_bucket_04 BIGINT, tpot_s_bucket_05 BIGINT, tpot_s_bucket_06
  BIGINT, tpot_s_bucket_07 BIGINT, tpot_s_bucket_08 BIGINT, tpot_s_bucket_09 BIGINT, tpot_s_bucket_10 BIGINT,
  tpot_s_bucket_11 BIGINT, tpot_s_bucket_12 BIGINT, tpot_s_bucket_13 BIGINT, tpot_s_bucket_14 BIGINT, tpot_s_bucket_15
  BIGINT, tpot_s_bucket_16 BIGINT, tpot_s_bucket_17 BIGINT, tpot_s_bucket_18 BIGINT, tpot_s_bucket_19 BIGINT,
  tpot_s_bucket_20 BIGINT, tpot_s_bucket_21 BIGINT, tpot_s_bucket_22 BIGINT, tpot_s_bucket_23 BIGINT, tpot_s_bucket_24
  BIGINT, tpot_s_bucket_25 BIGINT, tpot_s_bucket_26 BIGINT, tpot_s_bucket_27 BIGINT, tpot_s_bucket_28 BIGINT,
  tpot_s_bucket_29 BIGINT, tpot_s_bucket_30 BIGINT, tpot_s_bucket_31 BIGINT);
