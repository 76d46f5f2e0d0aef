"""What each bucket of the trial balance is called, and what is in it: the same on every page and in every file."""

from costlib.books import Bucket

WORDS: dict[Bucket, tuple[str, str]] = {
    Bucket.INPUT: ("Input tokens", "GPU time that computed prompts"),
    Bucket.CACHED_INPUT: ("Cached input tokens", "prompts found in the prefix cache"),
    Bucket.OUTPUT: ("Output tokens", "GPU time that generated"),
    Bucket.PREEMPTION: ("Preemption", "work done again after requests were put back"),
    Bucket.REJECTED_DRAFT: ("Rejected drafts", "speculation that was not accepted"),
    Bucket.WARM_IDLE: ("Warm idle", "servers up, no request running"),
    Bucket.START_AND_DRAIN: ("Start-up and drain", "billed before the first and after the last measurement"),
    Bucket.UNMEASURED: ("Not measured", "a server's GPU time of which nothing is known"),
    Bucket.UNALLOCATED_GPU: ("Unallocated GPU", "GPUs that no server is matched to"),
    Bucket.COMMITMENT_WASTE: ("Commitment waste", "reserved and not used"),
    Bucket.COMMITMENT_PURCHASE: ("Commitment purchase", "paid now, used later"),
    Bucket.API: ("API tokens", "bought from a provider"),
    Bucket.HOST: ("Hosts", "CPU and memory without a GPU"),
    Bucket.NETWORK: ("Network", "traffic, addresses, load balancers"),
    Bucket.STORAGE: ("Storage", "disks, objects, snapshots"),
    Bucket.OTHER_SERVICE: ("Other services", "everything else that was used"),
    Bucket.SUPPORT_AND_LICENCE: ("Support and licences", "on the invoice"),
    Bucket.CREDIT: ("Credits", "taken off by the provider"),
    Bucket.CORRECTION: ("Corrections", "of earlier periods, refunds among them"),
    Bucket.TAX: ("Tax", "on sales, value added or goods"),
    Bucket.ROUNDING: ("Rounding", "the provider's own line"),
}
