"""The FOCUS service category of an AWS charge, from its product code and usage type."""

import re

_CODES = {
    "AI and Machine Learning": "AmazonBedrock AmazonBedrockService AmazonBedrockAgentCore AmazonSageMaker AmazonQ"
    " AmazonComprehend AmazonKendra AmazonLex AmazonPolly AmazonRekognition AmazonTextract transcribe translate",
    "Analytics": "AmazonAthena AWSGlue AmazonKinesis AmazonKinesisFirehose AmazonKinesisAnalytics AmazonQuickSight"
    " AmazonES ElasticMapReduce AmazonRedshift AWSLakeFormation AmazonMSK AmazonDataZone",
    "Compute": "AmazonEC2 AWSLambda AmazonECS AmazonEKS AmazonLightsail AWSAppRunner AWSBatch AWSElasticBeanstalk"
    " ComputeSavingsPlans AWSComputeOptimizer AmazonEC2ContainerService AWSParallelComputingService",
    "Databases": "AmazonRDS AmazonDynamoDB AmazonElastiCache AmazonNeptune AmazonDocDB AmazonMemoryDB AmazonTimestream"
    " AmazonMCS DatabaseSavingsPlans",
    "Developer Tools": "AWSCodeCommit CodeBuild AWSCodePipeline AWSCodeArtifact AWSXRay AWSCloudShell AmazonECR",
    "Identity": "AmazonCognito AWSDirectoryService",
    "Integration": "AWSQueueService AmazonSNS AmazonMQ AWSEvents AmazonStates AWSAppSync AmazonSWF",
    "Internet of Things": "AWSIoT AWSIoTAnalytics AWSGreengrass",
    "Management and Governance": "AmazonCloudWatch AWSCloudTrail AWSConfig AWSSystemsManager AWSServiceCatalog"
    " AWSCostExplorer AmazonGrafana AmazonPrometheus AWSCloudFormation AWSBudgets",
    "Media": "AWSElementalMediaConvert AmazonIVS AWSElementalMediaLive",
    "Migration": "AWSDataSync AWSDatabaseMigrationSvc AWSTransfer AWSMigrationHubRefactorSpaces AWSMigrationHub",
    "Networking": "AmazonVPC AmazonRoute53 AmazonCloudFront AWSELB AWSDirectConnect AWSDataTransfer AmazonApiGateway"
    " AWSGlobalAccelerator AWSNetworkFirewall AWSTransitGateway AmazonCloudDirectory",
    "Security": "awskms AWSSecretsManager AmazonGuardDuty AmazonInspector AmazonInspectorV2 awswaf AWSShield"
    " AWSSecurityHub AmazonMacie AWSCertificateManager CloudHSM AmazonDetective",
    "Storage": "AmazonS3 AmazonEFS AmazonFSx AmazonGlacier AmazonS3GlacierDeepArchive AWSBackup AWSStorageGateway",
}
_CATEGORY_OF = {code: category for category, codes in _CODES.items() for code in codes.split()}
_NETWORK = re.compile(
    r"DataTransfer|-AWS-(In|Out)-Bytes|NatGateway|LoadBalancer|VpcEndpoint|ElasticIP|PublicIPv4|DataXfer"
)
_DISK = re.compile(r"(^|-|_)EBS:")


def service_category(product_code: str, usage_type: str) -> str:
    """A service bills its traffic and its disks under its own code, so these are told by the usage type.

    >>> service_category("AmazonEC2", "USW2-EBS:VolumeUsage.gp3"), service_category("AmazonEC2", "BoxUsage:p5.48xlarge")
    ('Storage', 'Compute')
    """
    if _NETWORK.search(usage_type):
        return "Networking"
    if _DISK.search(usage_type):
        return "Storage"
    return _CATEGORY_OF.get(product_code, "Other")
