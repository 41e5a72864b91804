"""Configuration: the settings tree, and how `etc/desk.toml` and the environment become one."""

from deskd.config.settings import (
    ApiSection,
    BrokerSection,
    Config,
    DeskSection,
    ExchangeSection,
    LogSection,
    MarketSection,
    OrdersSection,
    RestartSection,
    RiskAutomaticSection,
    RiskDeskSection,
    RiskExitsSection,
    RiskScheduleSection,
    RiskSection,
    RiskStrategySection,
    SandboxSection,
)

__all__ = [
    "ApiSection",
    "BrokerSection",
    "Config",
    "DeskSection",
    "ExchangeSection",
    "LogSection",
    "MarketSection",
    "OrdersSection",
    "RestartSection",
    "RiskAutomaticSection",
    "RiskDeskSection",
    "RiskExitsSection",
    "RiskScheduleSection",
    "RiskSection",
    "RiskStrategySection",
    "SandboxSection",
]
