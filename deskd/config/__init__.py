"""Configuration: the settings tree, and how `etc/desk.toml` and the environment become one."""

from deskd.config.risk import (
    RiskAutomaticSection,
    RiskBreakerSection,
    RiskDeskSection,
    RiskExitsSection,
    RiskScheduleSection,
    RiskSection,
    RiskStrategySection,
)
from deskd.config.settings import (
    ApiSection,
    BrokerSection,
    Config,
    DeskSection,
    ExchangeSection,
    LogSection,
    MarketSection,
    MetricsSection,
    NotifySection,
    OrdersSection,
    RestartSection,
    SandboxSection,
    StrategiesSection,
)

__all__ = [
    "ApiSection",
    "BrokerSection",
    "Config",
    "DeskSection",
    "ExchangeSection",
    "LogSection",
    "MarketSection",
    "MetricsSection",
    "NotifySection",
    "OrdersSection",
    "RestartSection",
    "RiskAutomaticSection",
    "RiskBreakerSection",
    "RiskDeskSection",
    "RiskExitsSection",
    "RiskScheduleSection",
    "RiskSection",
    "RiskStrategySection",
    "SandboxSection",
    "StrategiesSection",
]
